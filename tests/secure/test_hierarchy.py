"""Groups of groups: the sum is the flat one, and lower sums are noise."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedket.errors import RoundLostError
from fedket.keys import OsRandomSource
from fedket.secure import hierarchical_protocol, quantised_sum, reduce_in_process
from fedket.secure.begun import Begun
from fedket.secure.hierarchy.tree import make_tree
from fedket.secure.phases import Failure, Reply, drive, in_process
from fedket.secure.protocol import Party
from fedket.types import RoundContext

SEED = bytes(32)
CLIENTS, VALUES = 23, 5


def context(num_clients=CLIENTS, round_num=1):
    ids = tuple(range(3, 3 + num_clients))
    return RoundContext(7, round_num, ids, (1 / num_clients,) * num_clients)


def protocol(group_size=3, **options):
    return hierarchical_protocol(16, 1.0, group_size=group_size, **options)


@given(
    num_clients=st.integers(2, 300),
    group_size=st.integers(2, 9),
    seed=st.binary(min_size=4, max_size=8),
)
def test_every_client_is_in_one_group_and_leaders_in_one_of_each_level(
    num_clients, group_size, seed
):
    cohort = tuple(range(5, 5 + num_clients))
    tree = make_tree(cohort, group_size, seed)
    items = cohort
    for level in range(tree.top + 1):
        groups = [tree.members(level, group) for group in range(tree.num_groups(level))]
        assert sorted(i for group in groups for i in group) == sorted(items)
        least, most = (min(4, num_clients), 4) if level == tree.top else (group_size, 2)
        assert all(least <= len(group) < most * group_size for group in groups)
        for number, group in enumerate(groups):
            assert all(tree.groups_of(i)[level] == number for i in group)
        items = [tree.leader(level, group) for group in range(len(groups))]
        assert all(len(tree.groups_of(i)) > level for i in items)
    assert len(groups) == 1


@pytest.mark.parametrize("modulus", ["safe", "headroom"])
@pytest.mark.parametrize("group_size", [2, 5])
def test_the_sum_is_the_flat_one_bit_for_bit(group_size, modulus):
    rng = np.random.default_rng(group_size)
    updates = {"w": rng.normal(0, 0.02, (CLIENTS, VALUES)).astype(np.float32)}
    made = hierarchical_protocol(16, 1.0, modulus=modulus, group_size=group_size)
    reduce = reduce_in_process(made, OsRandomSource())
    flat, _ = quantised_sum(16, modulus, 1.0)(updates, context())
    for round_num in (1, 2):
        total, traffic = reduce(updates, context(round_num=round_num))
        if round_num == 1:
            np.testing.assert_array_equal(total["w"], flat["w"])
        cost = made.cost(context(round_num=round_num), VALUES)
        spent = sum(phase.pad_bits for phase in traffic.phases)
        assert spent == 8 * sum(cost.key.values())
        assert not traffic.missing


class Parties:
    """All clients of a round of `protocol`, with integers for updates, and what they answered."""

    def __init__(self, made, of_round, silent=lambda client, action, level: False):
        rng = np.random.default_rng(1)
        self.updates = {i: rng.integers(-9, 9, VALUES) for i in of_round.client_ids}
        self.answers, self.silent = [], silent
        keys = Party("run", OsRandomSource())
        begun = Begun(of_round, bytes(64))
        self.handlers = {
            i: made.client(i, keys, lambda _, i=i: self.updates[i], VALUES, begun)
            for i in of_round.client_ids
        }
        states = {i: made.state(0) for i in of_round.client_ids}
        execute = in_process(self.handlers, states)

        def ask(phase):
            outcomes = execute(phase)
            for i, outcome in outcomes.items():
                level = phase.payload_for(i).get("level", 0)
                if self.silent(i, phase.action, level):
                    outcomes[i] = Failure("gone")
                else:
                    self.answers.append((i, phase.action, level, outcome))
            return outcomes

        self.total = drive(made.server(of_round, VALUES, "run", 1.0), ask)

    def uploads(self, level):
        return {
            i: np.frombuffer(outcome.payload["words"], np.uint8)
            for i, action, at, outcome in self.answers
            if (action, at) == ("upload", level) and isinstance(outcome, Reply)
        }


def tree_of(of_round, group_size=3):
    seed = f"fedket groups of round {of_round.round_num} of seed {of_round.seed}"
    return make_tree(of_round.client_ids, group_size, hashlib.sha256(seed.encode()).digest())


@pytest.mark.parametrize(
    ("action", "level", "leads"),
    [
        ("ready", 0, False),
        ("ready", 0, True),
        ("upload", 0, False),
        ("upload", 0, True),
        ("reserve", 1, True),
        ("ready", 1, True),
    ],
)
def test_whoever_falls_silent_costs_its_own_group_and_nothing_else(action, level, leads):
    """At the top (level 1) clients are leaders of groups, and until READY cost just theirs."""
    of_round = context()
    tree = tree_of(of_round)
    group = tree.num_groups(level) - 1
    of_group = tree.members(level, group)
    leader = tree.leader(level, group)
    gone = leader if leads else next(i for i in of_group if i != leader)
    parties = Parties(protocol(), of_round, lambda i, a, at: (i, a, at) == (gone, action, level))
    included = [i for i in of_round.client_ids if i not in parties.total.missing]
    np.testing.assert_array_equal(parties.total.integers, sum(parties.updates[i] for i in included))
    assert gone in parties.total.missing
    early = level == 0 and action == "ready" and not leads
    lost = set(of_group)
    led = tree.groups_of(gone)[level - 1] if level else None
    alone = {gone} if led is None else set(tree.members(0, led))
    assert set(parties.total.missing) == (alone if early or level else lost)


def test_the_words_of_a_group_add_up_to_noise_below_the_top():
    """The same updates in many rounds: what a group's words add up to is another each time."""
    made, seen = protocol(authenticate=False), []
    for round_num in range(1, 5):
        of_round = context(round_num=round_num)._replace(graph_seed=SEED)
        parties = Parties(made, of_round)
        tree = make_tree(of_round.client_ids, 3, SEED)
        words = parties.uploads(0)
        group = tree.members(0, 1)
        seen.append(sum(words[i].astype(int) for i in group) % 2**16)
        total = sum(parties.updates[i] for i in of_round.client_ids)
        np.testing.assert_array_equal(parties.total.integers, total)
    assert len({tuple(words) for words in seen}) == len(seen)


def test_a_leader_that_does_not_deliver_at_the_top_ends_the_round():
    tree = tree_of(context())
    with pytest.raises(RoundLostError, match="the top group of 2 levels came to no sum"):
        Parties(
            protocol(), context(), lambda i, a, at: (i, a, at) == (tree.leader(0, 2), "upload", 1)
        )


def test_without_two_groups_the_round_is_lost():
    with pytest.raises(RoundLostError, match="fewer than 2 groups came to a sum"):
        Parties(protocol(), context(12), lambda i, a, at: a == "upload" and i > 3)
