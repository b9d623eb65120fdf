"""Without a centre: mixing keeps the mean and contracts, and is one round like any other."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedket.errors import ConfigError
from fedket.federated.checkpoint import load_checkpoint, save_checkpoint
from fedket.federated.gossip import consensus_distance, mix
from fedket.federated.local import LocalTraining
from fedket.federated.sequential import sequential_engine
from fedket.federated.strategies import fed_adam, fed_avg, fed_prox
from fedket.topology.graph import (
    complete,
    make_topology,
    mixing_matrix,
    neighbours,
    random_regular,
    ring,
    second_eigenvalue,
    torus,
)
from fedket.types import RoundContext
from tests.federated.problems import SIZES, run_rounds, small_federation

N = len(SIZES)
close = partial(np.testing.assert_allclose, atol=1e-5)
TRAINING = LocalTraining(optax.adam(0.05), 2, 8, persistent=True)
GRAPHS = {
    "ring": ring(12),
    "wide ring": ring(12, 3),
    "torus": torus(12),
    "complete": complete(12),
    "random": random_regular(12, 3, np.random.default_rng(0)),
    "star": make_topology(12, [(0, i) for i in range(1, 12)]),
}


def context(ids, round_num=1):
    return RoundContext(0, round_num, tuple(ids), (1 / len(ids),) * len(ids))


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
@given(seed=st.integers(0, 2**31 - 1))
def test_mixing_keeps_the_mean_and_brings_models_nearer_by_the_second_eigenvalue(graph, seed):
    rng = np.random.default_rng(seed)
    models = {"w": rng.normal(size=(12, 3, 2)), "b": rng.normal(size=(12, 1))}
    mixed, _ = mix(graph)(models, context(range(12)))
    for name, leaf in models.items():
        np.testing.assert_allclose(mixed[name].mean(0), leaf.mean(0), atol=1e-14)
    factor = consensus_distance(mixed) / consensus_distance(models)
    assert factor <= second_eigenvalue(graph) + 1e-12


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
@given(absent=st.sets(st.integers(0, 11), max_size=10))
def test_weights_are_doubly_stochastic_whoever_is_there(graph, absent):
    weights = mixing_matrix(graph, tuple(sorted(absent))).toarray()
    np.testing.assert_allclose(weights, weights.T)
    np.testing.assert_allclose(weights.sum(0), 1)
    assert (weights >= 0).all()
    assert all(weights[i, i] == 1 for i in absent)


def test_the_contraction_is_that_of_the_slowest_mode():
    """Ring of n with weights of 1/3: eigenvalues (1 + 2 cos 2πk/n) / 3 (Boyd et al. 2004)."""
    assert second_eigenvalue(ring(12)) == pytest.approx((1 + 2 * np.cos(2 * np.pi / 12)) / 3)
    assert second_eigenvalue(ring(600)) == pytest.approx((1 + 2 * np.cos(2 * np.pi / 600)) / 3)
    assert second_eigenvalue(complete(5)) == pytest.approx(0, abs=1e-12)


@given(n=st.integers(3, 40), degree=st.integers(2, 9), seed=st.integers(0, 2**31 - 1))
def test_a_random_regular_graph_is_regular(n, degree, seed):
    if degree >= n or n * degree % 2:
        with pytest.raises(ConfigError, match="cannot have"):
            random_regular(n, degree, np.random.default_rng(seed))
        return
    graph = random_regular(n, degree, np.random.default_rng(seed))
    assert {len(near) for near in neighbours(graph)} == {degree}


@pytest.fixture(scope="module")
def ringed():
    federation = small_federation(graph=ring(N), training=TRAINING)
    return federation, *run_rounds(federation, 3)


def test_a_round_on_a_graph_is_told_and_clients_end_apart(ringed):
    federation, state, records = ringed
    sizes = jax.tree.map(len, state.server)
    assert set(jax.tree.leaves(sizes)) == {N}
    jax.tree.map(
        lambda mean, own: np.testing.assert_allclose(mean, own.mean(0), atol=1e-6),
        state.params,
        state.server,
    )
    assert [r.upload_bytes for r in records] == [2 * N * 37 * 4] * 3
    assert [r.download_bytes for r in records] == [2 * N * 37 * 4] * 3
    assert records[-1].consensus_distance == pytest.approx(consensus_distance(state.server))
    assert records[-1].consensus_distance > 0
    one = jax.tree.map(lambda leaf: leaf[2], state.server)
    assert records[-1].own_accuracy[2] == pytest.approx(
        federation.evaluate(one).test_accuracy, abs=1e-6
    )
    assert records[-1].test_accuracy > 0.7


def test_one_client_at_a_time_trains_as_side_by_side(ringed):
    slow = small_federation(graph=ring(N), training=TRAINING, engine=sequential_engine)
    state, _ = run_rounds(slow, 3)
    jax.tree.map(close, state, ringed[1])


def test_models_of_all_clients_come_back_from_disk_bit_for_bit(ringed, tmp_path):
    federation, state, _ = ringed
    save_checkpoint(tmp_path / "c", state, "hash")
    resumed = load_checkpoint(tmp_path / "c", federation.init(), "hash")
    ahead, again = federation.run_round(state)[0], federation.run_round(resumed)[0]
    jax.tree.map(np.testing.assert_array_equal, ahead, again)


def test_on_a_complete_graph_clients_of_equal_size_train_as_with_a_server():
    options = {"sizes": (10,) * N, "strategy": fed_prox(0.1), "engine": sequential_engine}
    with_server, _ = run_rounds(small_federation(**options), 2)
    without, records = run_rounds(small_federation(**options, graph=complete(N)), 2)
    jax.tree.map(close, with_server.params, without.params)
    assert records[-1].consensus_distance == pytest.approx(0, abs=1e-6)


def test_a_client_that_is_left_out_keeps_its_model_and_the_others_average_without_it():
    federation = small_federation(graph=ring(N), poisoned=(1,), training=TRAINING)
    before = federation.init()
    after, record = federation.run_round(before)
    assert list(record.dropped) == [1]
    assert record.upload_bytes == 2 * (N - 2) * 37 * 4
    jax.tree.map(
        lambda old, new: np.testing.assert_array_equal(old[1], new[1]), before.server, after.server
    )
    assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(after))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"graph": ring(N), "strategy": fed_adam()}, "needs one for more than averaging"),
        ({"graph": ring(4)}, "joins 4 clients, the samples are dealt to 5"),
        ({"graph": ring(6), "sizes": (5, 5, 0, 5, 5, 5)}, "client 2 has no samples"),
    ],
)
def test_what_does_not_go_without_a_server_is_refused(options, said):
    with pytest.raises(ConfigError, match=said):
        small_federation(**{"strategy": fed_avg(), **options})


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: make_topology(4, [(0, 1), (2, 3)]), "client 2 cannot be reached from client 0"),
        (lambda: make_topology(3, [(0, 1), (1, 1)]), "edge 1-1 joins a client with itself"),
        (lambda: make_topology(3, [(0, 1), (1, 0)]), "edge 1-0 is given twice"),
        (lambda: make_topology(3, [(0, 3)]), "edge 0-3 names none of 0 to 2"),
        (lambda: ring(5, 3), "reach of 1 to 2, got 3"),
        (lambda: torus(13), "13 clients do not make a torus"),
        (lambda: torus(12, 5), r"use \[2, 3, 4, 6\] rows"),
        (lambda: ring(1), "reach of 1 to 0"),
        (lambda: complete(1), "2 or more clients, got 1"),
    ],
)
def test_a_graph_that_is_none_is_one_line(make, said):
    with pytest.raises(ConfigError, match=said) as error:
        make()
    assert "\n" not in str(error.value)
