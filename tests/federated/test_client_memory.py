"""Strategies whose clients remember: the papers' equations, and what a memory must survive."""

from functools import partial

import jax
import numpy as np
import pytest

from fedket.federated.ditto import ditto
from fedket.federated.fed_dyn import fed_dyn
from fedket.federated.fed_nova import fed_nova
from fedket.federated.scaffold import scaffold
from fedket.federated.sequential import sequential_engine
from fedket.federated.strategies import fed_avg
from fedket.federated.trainer import Kept
from fedket.federated.vectorised import vectorised_engine
from fedket.secure import quantised_sum
from tests.federated.problems import run_rounds, small_federation
from tests.federated.quadratic import OPTIMUM, RATE, SIZES, START, STEPS, descend, quadratics

close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5)
ENGINES = [vectorised_engine, sequential_engine]
NUM_CLIENTS = len(SIZES)


def by_hand(step, cohorts):
    """The model after some rounds of a NumPy algorithm, a generator that is sent cohorts."""
    algorithm = step()
    next(algorithm)
    return [algorithm.send(cohort) for cohort in cohorts][-1]


def scaffold_by_hand():
    """Karimireddy et al., arXiv:1910.06378, Algorithm 1, option II; y weighted by samples."""
    x, c, c_i = START, np.zeros(2), np.zeros((NUM_CLIENTS, 2))
    while True:
        cohort = yield x
        sizes = np.array([SIZES[i] for i in cohort])
        y = np.array([descend(i, x, STEPS[i], c - c_i[i]) for i in cohort])
        steps = np.array([[STEPS[i]] for i in cohort])
        plus = c_i[cohort] - c + (x - y) / (steps * RATE)
        c, x = (
            c + (plus - c_i[cohort]).sum(axis=0) / NUM_CLIENTS,
            x + sizes @ (y - x) / sizes.sum(),
        )
        c_i[cohort] = plus


def fed_dyn_by_hand(alpha):
    """Acar et al., arXiv:2111.04263, Algorithm 1, with gradient descent for its argmin."""
    theta, h, g = START, np.zeros(2), np.zeros((NUM_CLIENTS, 2))
    while True:
        cohort = yield theta
        own = np.array([descend(i, theta, STEPS[i], -g[i], alpha) for i in cohort])
        g[cohort] -= alpha * (own - theta)
        h -= alpha * (own - theta).sum(axis=0) / NUM_CLIENTS
        theta = own.mean(axis=0) - h / alpha


def fed_nova_by_hand():
    """Wang et al., arXiv:2007.07481, eq. (4) and (6), for SGD."""
    x = START
    while True:
        cohort = yield x
        shares = np.array([SIZES[i] for i in cohort]) / sum(SIZES[i] for i in cohort)
        steps = np.array([STEPS[i] for i in cohort])
        updates = np.array([descend(i, x, STEPS[i]) - x for i in cohort])
        x = x + (shares @ steps) * (shares @ (updates / steps[:, None]))


UNBIASED = [scaffold(NUM_CLIENTS), fed_dyn(NUM_CLIENTS, 0.3)]
BY_HAND = [
    (UNBIASED[0], scaffold_by_hand),
    (UNBIASED[1], partial(fed_dyn_by_hand, 0.3)),
    (fed_nova(), fed_nova_by_hand),
]


@pytest.mark.parametrize("clients_per_round", [0, 2])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("strategy", "step"), BY_HAND)
def test_a_federation_follows_the_papers_algorithm(strategy, step, engine, clients_per_round):
    options = {"engine": engine, "clients_per_round": clients_per_round}
    state, records = run_rounds(quadratics(strategy, **options), 5)
    close(state.params, by_hand(step, [list(record.cohort) for record in records]))


@pytest.mark.parametrize("strategy", UNBIASED)
def test_correction_removes_the_bias_that_fed_avg_has(strategy):
    """Several local steps on clients unlike each other move FedAvg's fixed point, not these."""
    alike = (4,) * NUM_CLIENTS
    biased, _ = run_rounds(quadratics(fed_avg(), alike), 60)
    exact, _ = run_rounds(quadratics(strategy, alike), 300)
    assert np.abs(biased.params - OPTIMUM).max() > 0.05
    close(exact.params, OPTIMUM, atol=1e-4)


def test_the_first_round_of_scaffold_is_that_of_fed_avg():
    first, other = (run_rounds(small_federation(strategy=s), 1) for s in (scaffold(5), fed_avg()))
    jax.tree.map(close, first[0].params, other[0].params)
    assert first[1][0].download_bytes == 2 * other[1][0].download_bytes
    assert first[1][0].upload_bytes == 2 * other[1][0].upload_bytes


def test_the_servers_control_variate_is_the_mean_of_the_clients():
    state, _ = run_rounds(small_federation(strategy=scaffold(5), clients_per_round=3), 4)
    jax.tree.map(lambda c, own: close(c, own.mean(axis=0)), state.server, state.clients.memory)


def test_clients_of_a_strategy_without_memory_keep_nothing():
    assert small_federation().init().clients == Kept()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("strategy", [scaffold(5), fed_dyn(5)])
def test_a_client_that_is_not_in_the_sum_keeps_the_memory_that_it_had(strategy, engine):
    """Client 1 is not finite, client 3 falls silent: neither remembers, all others do."""
    plain = quantised_sum(32, "headroom", 4.0)

    def without_client_3(contributions, context):
        kept = np.array(context.client_ids) != 3
        total, traffic = plain(
            jax.tree.map(lambda leaf: leaf[kept], contributions),
            context._replace(
                client_ids=tuple(np.array(context.client_ids)[kept].tolist()),
                weights=(1 / kept.sum(),) * int(kept.sum()),
            ),
        )
        return total, traffic._replace(missing={3: "silent"})

    federation = small_federation(
        strategy=strategy, poisoned=(1,), engine=engine, reducer=without_client_3
    )
    state, (_, record) = run_rounds(federation, 2)
    assert set(record.dropped) == {1, 3}
    for leaf in jax.tree.leaves(state.clients.memory):
        moved = np.asarray(leaf != 0).reshape(5, -1).any(axis=1)
        assert not moved[[1, 3]].any()
    norms = sum(
        np.abs(leaf).reshape(5, -1).sum(1) for leaf in jax.tree.leaves(state.clients.memory)
    )
    assert (np.asarray(norms) > 0).tolist() == [True, False, True, False, True]


def test_fed_nova_with_equal_steps_is_fed_avg():
    alike = (4,) * NUM_CLIENTS
    nova, avg = (run_rounds(quadratics(s, alike), 3)[0] for s in (fed_nova(0.9), fed_avg()))
    close(nova.params, avg.params)


@pytest.mark.parametrize("steps", [1, 2, 7])
def test_the_length_of_steps_with_momentum_is_the_sum_of_their_coefficients(steps):
    """arXiv:2007.07481, Section 3: a = [1 − ρ^τ, 1 − ρ^(τ−1), …, 1 − ρ] / (1 − ρ)."""
    rho, gradients = 0.8, np.ones(steps)
    velocity, moved = 0.0, 0.0
    for gradient in gradients:
        velocity = rho * velocity + gradient
        moved += velocity
    close(fed_nova(rho, steps).bounds(1.0)["length"].limit, moved)


def test_dittos_own_models_descend_with_a_pull_to_the_global_one():
    """Li et al., arXiv:2012.04221, Algorithm 1, in NumPy; the global model is FedAvg's."""
    pull, federation = 0.7, quadratics(ditto(0.7))
    state, own = federation.init(), np.tile(START, (NUM_CLIENTS, 1))
    for _ in range(3):
        w, after = np.asarray(state.params), federation.run_round(state)[0]
        own = np.array([
            descend(i, own[i], STEPS[i], pull=pull, anchor=w) for i in range(NUM_CLIENTS)
        ])  # fmt: skip
        close(after.clients.memory, own)
        state = after
    close(state.params, run_rounds(quadratics(fed_avg()), 3)[0].params)
