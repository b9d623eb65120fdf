"""A rule over secure groups: who is in which, what the server gets, what a lost group costs."""

import numpy as np
import pytest

from fedket.errors import RoundLostError
from fedket.keys import OsRandomSource
from fedket.secure import pairwise_protocol, reduce_in_process, shared_masks_protocol
from fedket.secure.robust.groups import Grouped, draw_groups, grouped_cost, grouped_sum
from fedket.secure.robust.kinds import MedianConfig, TrimmedMeanConfig
from fedket.types import Bound, RoundContext

BOUNDS = {"sum": Bound(1.0, weighted=False), "w": Bound(1.0)}
PAIRS = Grouped(pairwise_protocol(16, 1.0), MedianConfig().rule(), 2)
OF_FOUR = Grouped(
    shared_masks_protocol(16, 1.0, colluders=1, threshold=3), MedianConfig().rule(), 4
)


def contribution(num_clients, seed=0):
    """Updates within ±0.5, weights, and what clients send of them."""
    rng = np.random.default_rng(seed)
    updates = rng.uniform(-0.5, 0.5, (num_clients, 3)).astype(np.float32)
    weights = rng.dirichlet(np.full(num_clients, 5.0)).astype(np.float32)
    sent = {"sum": updates[:, 0], "w": weights[:, None] * updates}
    ids = tuple(range(num_clients))
    return updates, RoundContext(3, 1, ids, tuple(weights.tolist()), lambda _: BOUNDS), sent


def reducer_of(grouped, answers=lambda *_: True):
    keys = OsRandomSource()
    return grouped_sum(
        grouped, lambda _: reduce_in_process(grouped.protocol, keys, answers=answers)
    )


def means(updates, context, gone=()):
    """The weighted mean of each group's updates that are there."""
    weights = np.array(context.weights)
    for group in draw_groups(context.seed, context.round_num, context.client_ids, 2):
        there = [i for i in group if i not in gone]
        yield np.average(updates[there], axis=0, weights=weights[there]), updates[there, 0].mean()


def test_groups_are_drawn_in_public_anew_each_round_and_hold_everybody_once():
    ids = (1, 4, 5, 8, 9, 12, 13)
    groups = draw_groups(0, 1, ids, 3)
    assert sorted(i for group in groups for i in group) == list(ids)
    assert {len(group) for group in groups} == {3, 4}
    assert groups == draw_groups(0, 1, ids, 3)
    drawn = [draw_groups(seed, r, ids, 3) for seed, r in [(0, 1), (0, 2), (1, 1)]]
    assert drawn[0] not in drawn[1:]


def test_the_rule_is_over_the_means_of_the_groups_and_the_cost_is_that_of_all_groups():
    updates, context, sent = contribution(10)
    total, traffic = reducer_of(PAIRS)(sent, context)
    expected, of_sums = zip(*means(updates, context), strict=True)
    np.testing.assert_allclose(total["w"], np.median(expected, axis=0), atol=1e-3)
    np.testing.assert_allclose(total["sum"], 10 * np.median(of_sums), atol=2e-2)
    cost = grouped_cost(PAIRS, context, 4)
    assert traffic.upload_bytes == cost.upload_bytes
    assert traffic.key_bits == 8 * sum(cost.key.values())
    assert len({phase.name for phase in traffic.phases}) == len(traffic.phases)


def test_an_attacker_spoils_its_group_and_no_more():
    updates, context, sent = contribution(10)
    sent["w"][7] = 1e3
    total, traffic = reducer_of(PAIRS)(sent, context)
    lowest, highest = updates.min(axis=0), updates.max(axis=0)
    assert ((lowest - 1e-3 <= total["w"]) & (total["w"] <= highest + 1e-3)).all()
    assert traffic.num_clipped == 3


def test_a_group_that_cannot_be_opened_is_left_out_and_named():
    updates, context, sent = contribution(10)
    (partner,) = next(set(g) - {7} for g in draw_groups(3, 1, range(10), 2) if 7 in g)
    silent = reducer_of(PAIRS, lambda _, client, action: client != 7 or action != "upload")
    total, traffic = silent(sent, context)
    kept = [
        mean for mean, _ in means(np.where(np.arange(10)[:, None] == 7, np.nan, updates), context)
    ]
    kept = [mean for mean in kept if np.isfinite(mean).all()]
    assert set(traffic.missing) == {7, partner}
    assert "was lost" in traffic.missing[partner] or "was lost" in traffic.missing[7]
    np.testing.assert_allclose(total["w"], np.median(kept, axis=0), atol=1e-3)
    assert traffic.key_bits == 8 * sum(grouped_cost(PAIRS, context, 4).key.values())


def test_under_shared_masks_a_group_goes_on_without_the_one_who_fell_silent():
    updates, context, sent = contribution(12)
    silent = reducer_of(OF_FOUR, lambda _, client, action: client != 7 or action != "upload")
    total, traffic = silent(sent, context)
    assert set(traffic.missing) == {7}
    weights, expected = np.array(context.weights), []
    for group in draw_groups(3, 1, range(12), 4):
        there = [i for i in group if i != 7]
        expected.append(np.average(updates[there], axis=0, weights=weights[there]))
    np.testing.assert_allclose(total["w"], np.median(expected, axis=0), atol=1e-3)


@pytest.mark.parametrize(("rule", "silent"), [(MedianConfig(), 3), (TrimmedMeanConfig(f=2), 1)])
def test_a_round_is_lost_when_the_rule_cannot_do_without_the_lost_groups(rule, silent):
    _, context, sent = contribution(10)
    gone = [group[0] for group in draw_groups(3, 1, range(10), 2)[:silent]]
    reduce = reducer_of(
        PAIRS._replace(rule=rule.rule()), lambda _, client, action: client not in gone
    )
    with pytest.raises(RoundLostError, match=f"{silent} of 5 groups were lost") as raised:
        reduce(sent, context)
    assert len(raised.value.reasons) == 2 * silent
    assert raised.value.phases
