"""A robust rule over secure sums: of every group the server sees the sum, and of no client more.

Groups are drawn anew each round by public randomness. Each forms its own masked sum; the rule then
sees the groups' mean updates and counts each group once. An attacker spoils its whole group: with a
share f of attackers a group of g is clean with probability (1 − f)^g, and g ≤ ln 2 / f keeps that
above one half, so that most groups are clean on average.
"""

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Literal, NamedTuple

import jax
import numpy as np
from pydantic import Field

from fedket.errors import ConfigError, ProtocolError, RoundLostError
from fedket.rng import Purpose
from fedket.schema import PositiveInt
from fedket.section import Context, Kind, Section, kind_field
from fedket.secure.in_process import check_clients
from fedket.secure.protocol import Protocol, RoundCost
from fedket.secure.robust.kinds import RuleConfig
from fedket.secure.robust.reducer import Rule, combined, scaled
from fedket.secure.sides import round_cost
from fedket.traffic import Traffic, together, traffic_of
from fedket.types import Contribution, Reducer, RoundContext


class Grouped(NamedTuple):
    """An aggregation over groups.

    Attributes:
        protocol: How a group's sum is formed.
        rule: What becomes of the groups' means.
        size: Clients of a group, at least.
    """

    protocol: Protocol
    rule: Rule
    size: int


def draw_groups(
    seed: int, round_num: int, client_ids: Sequence[int], size: int
) -> list[tuple[int, ...]]:
    """Deal clients to groups of `size` or a few more; public, a function of (seed, round)."""
    rng = np.random.default_rng([seed, int(Purpose.GROUPS), round_num])
    parts = np.array_split(rng.permutation(client_ids), max(1, len(client_ids) // size))
    return [tuple(sorted(part.tolist())) for part in parts]


def grouped_sum(grouped: Grouped, of_group: Callable[[int], Reducer]) -> Reducer:
    """Return the reducer of a rule over groups.

    A group whose sum cannot be opened is left out, its clients with it.

    Args:
        grouped: The aggregation.
        of_group: Number of a group -> the reducer of its sums, which is asked once for each.

    Raises (the reducer):
        RoundLostError: Half of the groups or more are lost, or more than the rule can do without.
        KeyMaterialError: Key ran out or was used before.
    """
    reducers: dict[int, Reducer] = {}

    def reduce(contributions: Contribution, context: RoundContext) -> tuple[Contribution, Traffic]:
        check_clients(contributions, context)
        groups = draw_groups(context.seed, context.round_num, context.client_ids, grouped.size)
        means, traffic, lost = [], list[Traffic](), dict[int, str]()
        for k, group in enumerate(groups):
            part, inside = _part(contributions, context, group)
            if k not in reducers:
                reducers[k] = of_group(k)
            try:
                total, spent = reducers[k](part, inside)
            except ProtocolError as error:
                lost |= _reasons(error, k, group)
                traffic.append(traffic_of(getattr(error, "phases", ())))
                continue
            means.append(_mean(total, inside, spent))
            traffic.append(spent)
        all_of_it = together(traffic)
        if 2 * len(means) <= len(groups):
            raise _too_few(context, groups, means, lost, all_of_it)
        updates = jax.tree.map(lambda *leaves: np.stack(leaves), *means)
        try:
            total = combined(grouped.rule, updates, context)
        except ConfigError as error:
            raise _too_few(context, groups, means, lost, all_of_it) from error
        return total, all_of_it._replace(missing={**all_of_it.missing, **lost})

    return reduce


def grouped_cost(grouped: Grouped, context: RoundContext, num_values: int) -> RoundCost:
    """Return what a round costs if nobody drops out, over all groups."""
    groups = draw_groups(context.seed, context.round_num, context.client_ids, grouped.size)
    costs = [
        round_cost(
            grouped.protocol,
            context._replace(client_ids=group, weights=(1 / len(group),) * len(group)),
            num_values,
        )
        for group in groups
    ]
    return RoundCost(
        sum(cost.upload_bytes for cost in costs),
        max(cost.vector_bytes for cost in costs),
        {stream: count for cost in costs for stream, count in cost.key.items()},
        max(cost.num_requests for cost in costs),
    )


def _part(
    contributions: Contribution, context: RoundContext, group: tuple[int, ...]
) -> tuple[Contribution, RoundContext]:
    """A group's contributions and its round, in which its weights sum to 1."""
    rows = np.isin(context.client_ids, group)
    weights = np.asarray(context.weights, np.float64)[rows]
    part = jax.tree.map(lambda leaf: np.asarray(leaf)[rows], contributions)
    ids = tuple(np.asarray(context.client_ids)[rows].tolist())
    share = weights.sum()
    inside = context._replace(client_ids=ids, weights=tuple((weights / share).tolist()), last=None)
    return scaled(part, context, 1 / share, 1), inside


def _mean(total: Contribution, inside: RoundContext, traffic: Traffic) -> Contribution:
    """The mean over those whose update is in a group's sum."""
    shares = zip(inside.client_ids, inside.weights, strict=True)
    there = [share for client, share in shares if client not in traffic.missing]
    return scaled(total, inside, 1 / math.fsum(there), 1 / len(there))


def _reasons(error: ProtocolError, k: int, group: tuple[int, ...]) -> dict[int, str]:
    """Why the updates of a lost group's clients are missing."""
    own = getattr(error, "reasons", {})
    return {client: own.get(client, f"group {k} was lost: {error}") for client in group}


def _too_few(
    context: RoundContext,
    groups: list[tuple[int, ...]],
    means: list[Contribution],
    lost: dict[int, str],
    traffic: Traffic,
) -> RoundLostError:
    error = RoundLostError(
        f"round {context.round_num}: {len(groups) - len(means)} of {len(groups)} groups were lost, "
        f"too many for the rule; the first failure: {next(iter(lost.values()))}",
        lost,
    )
    error.phases = traffic.phases
    return error


class GroupedConfig(Section):
    """A robust rule over the masked sums of groups, which are drawn anew each round."""

    kind: Literal["grouped"] = "grouped"
    group_size: PositiveInt = 4
    """Clients of a group, at least: the update of each hides among so many."""
    corrupt_fraction: Annotated[float, Field(gt=0, lt=0.5)] = 0.1
    """Share of clients that may be attackers (f); groups may have up to ln 2 / f clients."""
    masks: Annotated[Section, Kind("aggregation")] = kind_field("aggregation", "pairwise_masks")
    """How a group's sum is formed: `pairwise_masks` or `shared_masks`, with its keys."""
    rule: Annotated[RuleConfig, Kind("aggregation", "", RuleConfig)] = kind_field(
        "aggregation", "median"
    )
    """The robust rule over the groups' means, with its keys."""

    def check(self, context: Context) -> None:
        """Refuse groups that are too few, too small or too large."""
        clients, size = context.cohort_size, self.group_size
        count = clients // size
        if count < 3:
            raise ConfigError(
                f"aggregation.group_size = {size} makes {count} groups of {clients} clients; a "
                "rule needs 3 or more to outvote one: use smaller groups or more clients"
            )
        largest, limit = math.ceil(clients / count), math.log(2) / self.corrupt_fraction
        if largest > limit:
            raise ConfigError(
                f"groups of up to {largest} clients are more than ln 2 / f = {limit:.3g} for "
                f"aggregation.corrupt_fraction = {self.corrupt_fraction:g}: an attacker would be "
                "in most of them; use smaller groups or expect fewer attackers"
            )
        self.rule.check(context._replace(cohort_size=count))
        smallest = context._replace(cohort_size=clients // count)
        self.masks.check(smallest)
        least = self._protocol(smallest).least
        if least > smallest.cohort_size:
            raise ConfigError(
                f"aggregation.group_size = {size} leaves groups of {smallest.cohort_size} clients, "
                f"{self.masks.kind} need {least}; use larger groups"
            )

    def build(self, context: Context) -> Grouped:
        """The aggregation."""
        count = max(1, context.cohort_size // self.group_size)
        group = context._replace(cohort_size=context.cohort_size // count)
        return Grouped(self._protocol(group), self.rule.rule(), self.group_size)

    def caveats(self) -> tuple[str, ...]:
        """What the server sees."""
        return (
            f"grouped: the server sees the sum of each group of {self.group_size} or a few more "
            "clients, drawn anew each round: an update hides among its group only. All others of "
            "a group together with the server can work out one client's update.",
            *self.masks.caveats()[1:],
        )

    def _protocol(self, context: Context) -> Protocol:
        made = self.masks.build(context)
        if not isinstance(made, Protocol) or not made.takes_key:
            raise ConfigError(
                f'aggregation.masks.kind = "{self.masks.kind}" hides nothing; use "pairwise_masks" '
                'or "shared_masks", or the rule itself as aggregation.kind'
            )
        return made
