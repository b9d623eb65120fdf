"""Two engines, one answer; and what a round must not depend on."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from fedket.errors import TrainingError
from fedket.federated import working_set
from fedket.federated.local import LocalTraining
from fedket.federated.program import Program
from fedket.federated.sequential import sequential_engine
from fedket.federated.strategies import fed_adam, fed_avg, fed_prox
from fedket.federated.trainer import NON_FINITE
from fedket.federated.vectorised import vectorised_engine
from fedket.federated.working_set import chunk_size, traced_bytes, traced_work
from fedket.keys import OsRandomSource
from fedket.quantum.ansatz import qfedfisher
from fedket.quantum.engine import run_circuit
from fedket.quantum.native import for_any_device
from fedket.secure import masked_sum, pairwise_protocol, quantised_sum, round_cost
from fedket.types import RoundContext
from tests.federated.problems import SIZES, run_rounds, small_federation

close = partial(np.testing.assert_allclose, atol=1e-5)


def assert_same(tree, other):
    jax.tree.map(np.testing.assert_array_equal, tree, other)


@pytest.mark.parametrize("clients_per_round", [0, 3])
@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("strategy", [fed_avg(), fed_adam(), fed_prox(0.5)])
def test_vectorised_equals_sequential(strategy, persistent, clients_per_round):
    options = {
        "strategy": strategy,
        "training": LocalTraining(optax.adam(0.05), 2, 8, persistent),
        "clients_per_round": clients_per_round,
    }
    fast, fast_records = run_rounds(small_federation(**options), 3)
    slow, slow_records = run_rounds(small_federation(**options, engine=sequential_engine), 3)
    jax.tree.map(close, fast, slow)
    for a, b in zip(fast_records, slow_records, strict=True):
        assert a.cohort == b.cohort
        close(a.train_loss, b.train_loss)
        assert a.upload_bytes == b.upload_bytes == 37 * 4 * (clients_per_round or len(SIZES))


def test_chunks_change_nothing_but_rounding(monkeypatch):
    whole, _ = run_rounds(small_federation(), 2)
    monkeypatch.setattr(working_set, "CACHE_BYTES", 1)
    single, _ = run_rounds(small_federation(), 2)
    monkeypatch.setattr(working_set, "CACHE_BYTES", 20_000)
    chunked, _ = run_rounds(small_federation(), 2)
    jax.tree.map(close, single, whole)
    jax.tree.map(close, chunked, whole)


@pytest.mark.parametrize("engine", [vectorised_engine, sequential_engine])
@pytest.mark.parametrize("bits", [8, 32])
def test_masked_training_equals_unmasked_bit_for_bit(engine, bits):
    masked = masked_sum(bits, "headroom", 1.0, OsRandomSource())
    plain = quantised_sum(bits, "headroom", 1.0)
    with_masks, records = run_rounds(small_federation(engine=engine, reducer=masked), 2)
    without, _ = run_rounds(small_federation(engine=engine, reducer=plain), 2)
    assert_same(with_masks, without)
    cohort = tuple(range(len(SIZES)))
    context = RoundContext(0, 1, cohort, (1 / len(SIZES),) * len(SIZES))
    cost = round_cost(pairwise_protocol(bits, 1.0), context, 37)
    assert records[0].key_bits == 8 * sum(cost.key.values())
    assert records[0].upload_bytes == cost.upload_bytes


@pytest.mark.parametrize("engine", [vectorised_engine, sequential_engine])
@pytest.mark.parametrize("reducer", [None, quantised_sum(32, "headroom", 1.0)])
def test_a_client_with_nan_is_left_out_named_and_counted(engine, reducer):
    """The others' result is that of a federation in which it never was."""
    options = {"engine": engine, "reducer": reducer}
    state, (record,) = run_rounds(small_federation(poisoned=(1,), **options), 1)
    assert list(record.dropped) == [1]
    assert "not finite" in record.dropped[1]
    assert record.upload_bytes == 37 * 4 * (len(SIZES) - 1)
    assert np.isfinite(record.train_loss)
    everyone = small_federation(**options)
    alone = everyone.run_round(everyone.init())[0]
    assert not np.allclose(state.params["linear0"]["kernel"], alone.params["linear0"]["kernel"])
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state))


def test_survivors_weights_are_renormalised():
    """Two clients, one broken: FedAvg returns exactly the other's model."""
    broken = small_federation(poisoned=(0,), sizes=(6, 9))
    state, _ = run_rounds(broken, 1)
    whole, _ = run_rounds(small_federation(sizes=(6, 9), clients_per_round=2), 1)
    alone = run_rounds(small_federation(poisoned=(0,), sizes=(6, 9), engine=sequential_engine), 1)[
        0
    ]
    jax.tree.map(close, state.params, alone.params)
    assert not np.allclose(state.params["linear0"]["kernel"], whole.params["linear0"]["kernel"])


@pytest.mark.parametrize("engine", [vectorised_engine, sequential_engine])
def test_a_round_without_any_finite_update_is_lost(engine):
    federation = small_federation(poisoned=range(len(SIZES)), engine=engine)
    before = federation.init()
    after, record = federation.run_round(before)
    assert "round 1: none of 5 clients delivered a finite update" in record.lost
    assert record.train_loss is None
    assert all(reason.startswith(NON_FINITE) for reason in record.dropped.values())
    assert list(record.dropped) == list(record.cohort)
    assert after.round_num == 1
    jax.tree.map(np.testing.assert_array_equal, after.params, before.params)


def test_a_broken_clients_optimiser_state_stays_as_it_was():
    training = LocalTraining(optax.adam(0.05), persistent=True)
    federation = small_federation(poisoned=(2,), training=training)
    before = federation.init()
    after, _ = federation.run_round(before)
    counts = after.clients.optimizer[0].count
    np.testing.assert_array_equal(counts, [1, 1, 0, 1, 1])


def test_the_debug_engine_names_client_round_and_stage():
    def explode(_contributions, _context):
        raise ValueError("the reducer broke")

    federation = small_federation(engine=sequential_engine, reducer=explode)
    with pytest.raises(TrainingError, match="round 1: aggregation failed: the reducer broke"):
        federation.run_round(federation.init())


@pytest.mark.parametrize("client_bytes", [1, 10**6, 10**9])
@pytest.mark.parametrize("cohort", [1, 7, 1000])
def test_chunks_fit_the_limit_and_cover_the_cohort(client_bytes, cohort):
    size = chunk_size(client_bytes, cohort, memory_limit_mb=64)
    assert 1 <= size <= cohort
    assert size == 1 or size * client_bytes <= 64 * 2**20


def test_the_traced_working_set_counts_loop_bodies_once():
    def step(x):
        return jax.lax.fori_loop(0, 1000, lambda _, c: c * 2.0, x)

    one = traced_bytes(step, jnp.zeros(1024))
    assert 4096 <= one < 5 * 4096


@pytest.mark.parametrize("count", [traced_bytes, traced_work])
def test_estimates_do_not_depend_on_what_ran_before(count):
    """Nor on kernels that are at hand: chunks, and with them sums, would differ."""
    circuit = qfedfisher(3, 2)
    program = Program(run_circuit, circuit)
    inputs = jnp.zeros(circuit.params_shape), jnp.zeros((8, 5), jnp.complex64)
    before = count(program, *inputs)
    program(*inputs)
    assert count(program, *inputs) == before
    with for_any_device():
        assert count(partial(run_circuit, circuit), *inputs) == before
