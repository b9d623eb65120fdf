"""FedBuff: what the event queue promises, and what a round of it adds up."""

from functools import partial

import jax
import numpy as np
import optax
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedket.errors import ConfigError, RoundLostError
from fedket.federated.buffered import Asynchronous
from fedket.federated.conditions import Conditions, simulate_clients
from fedket.federated.draws import constant, listed, lognormal
from fedket.federated.federation import FederationState
from fedket.federated.local import LocalTraining
from fedket.federated.scaffold import scaffold
from fedket.federated.schedule import make_schedule
from fedket.federated.sequential import sequential_engine
from fedket.federated.strategies import fed_adam
from fedket.federated.vectorised import vectorised_engine
from fedket.keys import OsRandomSource
from fedket.secure import masked_sum, plain_sum, quantised_sum
from tests.federated.problems import SIZES, run_rounds, small_federation

N = len(SIZES)
close = partial(np.testing.assert_allclose, atol=1e-5)
EVERYTHING = Conditions(
    availability=constant(0.8),
    dropout=constant(0.1),
    seconds_per_step=lognormal(1.0, 1.0, every_round=True),
    deadline_s=10.0,
)
ALIKE = Conditions(upload_mbps=constant(8.0))
UNLIKE = Conditions(seconds_per_step=listed([0.1, 0.2, 3.0, 0.3, 0.05]))


def schedule_of(conditions, num_clients=12, in_training=6, buffer=4, seed=0):
    clients = simulate_clients(conditions, seed, [1] * num_clients, 10**6)
    return make_schedule(clients, seed, num_clients, in_training, buffer)


def federation_of(conditions, how, **options):
    clients = simulate_clients(conditions, 3, SIZES, 10**6)
    return small_federation(clients=clients, asynchronous=how, **options)


@given(
    seed=st.integers(0, 2**31 - 1),
    in_training=st.integers(1, 12),
    buffer=st.integers(1, 12),
)
def test_a_buffer_holds_each_client_once_and_nobody_trains_twice_at_a_time(
    seed, in_training, buffer
):
    sizes = {"in_training": in_training, "buffer": buffer, "seed": seed}
    first, again = (schedule_of(EVERYTHING, **sizes) for _ in range(2))
    again(5)
    for round_num in range(1, 11):
        now, same = first(round_num), again(round_num)
        jax.tree.map(np.testing.assert_array_equal, now, same)
        assert len(set(now.members.tolist())) == buffer
        assert not set(now.dropped) & set(now.members.tolist())
        assert len(now.training) <= in_training
        assert (now.versions < round_num).all()
        assert all(version < round_num for version in now.training.values())
        assert now.seconds >= 0


def test_who_is_ten_times_as_slow_is_ten_rounds_old():
    slow = Conditions(seconds_per_step=listed([1.0, 10.0]))
    update = schedule_of(slow, num_clients=2, in_training=2, buffer=1)
    rounds = [update(r) for r in range(1, 12)]
    assert [u.members.tolist() for u in rounds] == [[0]] * 10 + [[1]]
    assert [u.versions.tolist() for u in rounds] == [[r] for r in range(10)] + [[0]]
    assert [u.seconds for u in rounds] == [1.0] * 10 + [0.0]


@pytest.mark.parametrize(
    ("clients_per_round", "engine"), [(3, vectorised_engine), (0, sequential_engine)]
)
def test_with_equal_speeds_and_whole_cohorts_it_is_synchronous(clients_per_round, engine):
    options = {"clients_per_round": clients_per_round, "strategy": fed_adam(), "engine": engine}
    how = Asynchronous(clients_per_round or N)
    waiting, old = run_rounds(small_federation(**options), 3)
    free, new = run_rounds(federation_of(ALIKE, how, **options), 3)
    jax.tree.map(close, waiting.params, free.params)
    jax.tree.map(close, waiting.server, free.server.inner)
    assert [r.cohort for r in old] == [r.cohort for r in new]
    assert all(set(r.staleness.values()) == {0} for r in new)
    assert [r.simulated_s for r in new] == [1.0] * 3


@pytest.mark.parametrize("lost", [(), (3, 4)])
def test_a_round_is_what_the_paper_adds_up(lost):
    """Against a loop with a dictionary of models; one client at a time, from its own version."""
    how, fresh = Asynchronous(2, exponent=0.7), LocalTraining(optax.adam(0.05), 2, 8)
    federation = federation_of(UNLIKE, how, training=fresh, reducer=losing(lost))
    state, records = run_rounds(federation, 8)
    update = make_schedule(simulate_clients(UNLIKE, 3, SIZES, 10**6), 3, N, N, 2)
    trained_alone = [alone(i, fresh) for i in range(N)]
    models = [federation.init().params]
    for number in range(8):
        now, model = update(number + 1), models[-1]
        samples = np.array(SIZES)[now.members]
        factors = samples / samples.sum() * (1.0 + number - now.versions) ** -0.7
        for client, version, factor in zip(now.members, now.versions, factors, strict=True):
            began = models[version]
            trained = trained_alone[client](began, number + 1)
            model = jax.tree.map(partial(add_part, factor), model, trained, began)
        models.append(models[-1] if number + 1 in lost else model)
    jax.tree.map(close, state.params, models[8])
    assert tuple(r.round for r in records if r.lost) == lost
    assert max(max(r.staleness.values()) for r in records) > 2


def add_part(factor, total, after, before):
    return total + factor * (after - before)


def losing(lost):
    """The plain sum, which cannot be opened in some rounds."""

    def reduce(contributions, context):
        if context.round_num in lost:
            raise RoundLostError("lost", {})
        return plain_sum()(contributions, context)

    return reduce


def alone(client, training):
    """(model, round) -> the model after a client's training in that round."""
    only = simulate_clients(
        Conditions(availability=listed(np.arange(N) == client)), 3, SIZES, 10**6
    )
    federation = small_federation(clients=only, training=training, engine=sequential_engine)
    start = federation.init()

    def train(params, round_num):
        state = FederationState(round_num - 1, params, start.server, start.clients)
        return federation.run_round(state, False)[0].params

    return train


def test_masks_change_nothing_of_a_buffer():
    """One masked sum of the buffer's clients: what the quantiser gives, bit for bit."""
    how, bits = Asynchronous(3), {"bits": 16, "modulus": "safe", "clip": 1.0}
    reducers = quantised_sum(**bits), masked_sum(**bits, key_source=OsRandomSource())
    states = [run_rounds(federation_of(UNLIKE, how, reducer=r), 4)[0] for r in reducers]
    jax.tree.map(np.testing.assert_array_equal, *states)


@pytest.mark.parametrize("weights", [(1.0,), (1.0, 0.5)])
def test_given_weights_stand_for_the_formula(weights):
    how = Asynchronous(1, weights=weights)
    expected = [weights[min(age, len(weights) - 1)] for age in range(4)]
    assert how.factor(np.arange(4)).tolist() == expected
    assert Asynchronous(1, 0.5).factor(np.array([0, 3])).tolist() == [1, 0.5]


def test_strategies_that_send_more_than_a_model_are_refused():
    with pytest.raises(ConfigError, match="sent the model alone"):
        federation_of(ALIKE, Asynchronous(2), strategy=scaffold(N))
