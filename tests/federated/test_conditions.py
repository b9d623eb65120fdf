"""Simulated clients: laws of who is there, how long a round takes, and what is left of it."""

from math import inf

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedket.errors import ConfigError
from fedket.federated.conditions import AWAY, SILENT, Conditions, simulate_clients
from fedket.federated.draws import constant, exponential, listed, lognormal, periodic, uniform
from tests.federated.problems import SIZES, run_rounds, small_federation

N = len(SIZES)
GRID = (np.arange(10**5) + 0.5) / 10**5


def test_distributions_have_the_moments_of_their_names():
    assert np.median(lognormal(3.0, 0.5).values(GRID, 1)) == pytest.approx(3, rel=1e-4)
    assert np.log(lognormal(3.0, 0.5).values(GRID, 1)).std() == pytest.approx(0.5, rel=1e-3)
    assert exponential(2.0, least=1.0).values(GRID, 1).mean() == pytest.approx(3, rel=1e-3)
    assert uniform(1.0, 5.0).values(GRID, 1).mean() == pytest.approx(3)
    share = [periodic(24, day=0.25, spread=0.5).values(GRID, r).mean() for r in range(1, 25)]
    assert np.mean(share) == pytest.approx(0.25, abs=1e-3)
    alike = [set(periodic(24, spread=0.0).values(GRID, r)) for r in range(1, 25)]
    assert alike.count({1.0}) == alike.count({0.0}) == 12


@given(seed=st.integers(0, 2**31 - 1), round_num=st.integers(1, 1000))
def test_conditions_are_a_function_of_seed_and_round(seed, round_num):
    mixed = Conditions(
        availability=constant(0.7),
        dropout=constant(0.2),
        seconds_per_step=lognormal(1.0, 1.0, every_round=True),
        upload_mbps=exponential(5.0),
        deadline_s=20,
    )
    first, second = (simulate_clients(mixed, seed, [3] * 40, 1000) for _ in range(2))
    second.of_round(round_num + 1)
    jax.tree.map(np.testing.assert_array_equal, first.of_round(3), second.of_round(3))
    here, there = first.of_round(round_num), first.of_round(round_num + 1)
    assert (here.seconds != there.seconds).all()
    np.testing.assert_array_equal(here.late, here.seconds > 20)


def test_clients_come_and_drop_out_as_often_as_they_should():
    some = Conditions(availability=constant(0.3), dropout=constant(0.1))
    now = simulate_clients(some, 5, [1] * 10**5).of_round(7)
    assert now.there.mean() == pytest.approx(0.3, abs=0.008)
    assert (now.silent < 1).mean() == pytest.approx(0.1, abs=0.005)
    assert now.silent[now.silent < 1].mean() == pytest.approx(0.5, abs=0.02)


def federation_with(**conditions):
    clients = simulate_clients(Conditions(**conditions), 3, SIZES, 10**6, 2 * 10**6)
    return small_federation(clients=clients)


def test_conditions_that_change_nothing_change_no_bit():
    plain, _ = run_rounds(small_federation(), 2)
    fast, records = run_rounds(federation_with(seconds_per_step=constant(2.0)), 2)
    jax.tree.map(np.testing.assert_array_equal, plain, fast)
    assert [r.simulated_s for r in records] == [2.0 * max(SIZES)] * 2


def test_a_round_takes_what_its_slowest_client_takes():
    """Download, steps and upload, in Mbit/s."""
    speeds = {"seconds_per_step": listed(np.arange(1.0, N + 1)), "upload_mbps": constant(4.0)}
    _, [record] = run_rounds(federation_with(**speeds, download_mbps=constant(8.0)), 1)
    assert record.simulated_s == max(n * (i + 1) for i, n in enumerate(SIZES)) + 2 + 2


def test_late_clients_are_left_out_as_those_that_diverge_are():
    """The weights are those of the others, and the server has waited for the deadline."""
    late = federation_with(seconds_per_step=listed([1.0, 9.0, 1.0, 1.0, 1.0]), deadline_s=100.0)
    state, [record] = run_rounds(late, 1)
    poisoned, _ = run_rounds(small_federation(poisoned=(1,)), 1)
    for a, b in zip(jax.tree.leaves(state), jax.tree.leaves(poisoned), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert record.dropped == {1: "later than the deadline of 100 s (simulated)"}
    assert record.simulated_s == 100
    assert record.cohort == tuple(range(N))


def test_a_round_without_clients_is_lost_and_the_next_one_is_not():
    """Client 2 alone is ever there, and only by day."""
    day = periodic(2, spread=0.0)
    only = day._replace(values=lambda u, r: day.values(u, r) * (np.arange(N) == 2))
    state, records = run_rounds(federation_with(availability=only), 4)
    assert [bool(r.lost) for r in records] == [True, False, True, False]
    assert records[0].dropped == dict.fromkeys(range(N), AWAY)
    assert records[0].simulated_s == 0
    assert state.round_num == 4


def test_who_drops_out_costs_no_time_unless_there_is_a_deadline():
    silent = {
        "dropout": listed(np.array([0, 0, 0, 0, 1 - 1e-12])),
        "seconds_per_step": constant(1.0),
    }
    for deadline, seconds in ((inf, max(SIZES[:-1])), (50.0, 50)):
        _, [record] = run_rounds(federation_with(**silent, deadline_s=deadline), 1)
        assert record.dropped == {4: SILENT}
        assert record.simulated_s == seconds


@pytest.mark.parametrize(
    ("conditions", "says"),
    [
        ({"availability": constant(0.0)}, "no client is there in any of the first 20 rounds"),
        ({"availability": constant(1.5)}, "availability of client 0 is 1.5 in round 1; .* 0 to 1"),
        (
            {"seconds_per_step": listed(np.array([1, 1, -1, 1, 1]))},
            "of client 2 is -1 in round 1; .* from 0",
        ),
        ({"upload_mbps": constant(0.0)}, "upload_mbps of client 0 is 0 .*above 0"),
        ({"dropout": constant(1.0)}, "dropout of client 0 is 1 .*below 1"),
        (
            {"seconds_per_step": constant(2.0), "deadline_s": 5.0},
            "deadline_s is 5, but the fastest client takes 6 s; allow more",
        ),
    ],
)
def test_conditions_under_which_no_round_succeeds_are_refused(conditions, says):
    with pytest.raises(ConfigError, match=says):
        simulate_clients(Conditions(**conditions), 0, SIZES)
