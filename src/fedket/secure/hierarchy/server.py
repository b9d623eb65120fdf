"""Hierarchical sums, server side: Protocol A in every group, then among the groups' leaders.

In a group other than the top one the leader adds to its update x_L a mask z, as long as the update,
from its own generator. The sum of the group is opened as in Protocol A, but it is S + z: uniform
noise. One level up the leaders of groups that came to a sum are the clients of Protocol A, and -z
is what they sum; their own leader adds a mask again. The sum of the top group has none, so that

    sum of all S = sum, over the groups of all levels, of what was opened

A group that fails, at any level, is left out with all below it, and nothing is opened of it: its
masks are in no sum. The others go on. So what ends a round of Protocol A, a client that was ready
and does not deliver, costs here the clients of one group.

Who learns what, with true one-time pads and MAC keys and no computational assumption:
- A server that follows the protocol, of whatever level: the sum over the groups that came to the
  top, and who is in it. Clients and leaders learn nothing from the protocol.
- That server together with the leader of a group: the sum of the group's other members; for a
  leader of a higher level, of all groups below. Together with all but one of a group: at most that
  one's update. Protocol A by itself, on a graph of the degree that `choose_degree` says, stands
  more colluders; what the tree buys is a constant cost, and lost groups in place of lost rounds.
- A server that lies: single updates, as in Protocol A without `confirm`.
"""

from collections.abc import Callable, Generator, Mapping
from typing import NamedTuple

import numpy as np

from fedket.errors import FedketError, RoundLostError
from fedket.secure.hierarchy.lockstep import together
from fedket.secure.hierarchy.tree import Tree
from fedket.secure.pairwise.server import RingSum, pairwise_server
from fedket.secure.pairwise.terms import Terms
from fedket.secure.phases import Outcomes, Phase, Server, mapped
from fedket.secure.words import Words, word_dtype

Ended = Mapping[int, RingSum | FedketError]
"""Group of a level -> its sum, or why it has none."""

TermsOf = Callable[[tuple[int, ...]], Terms]
"""Members of a group -> what its sum is about."""


class TreeSum(NamedTuple):
    """Result of `tree_server`.

    Attributes:
        words: Sum of the members' quantised words.
        missing: Client of the cohort that is not in it -> why.
    """

    words: Words
    missing: Mapping[int, str]


def tree_server(
    tree: Tree, terms_of: TermsOf, word_bits: int, deadline: float = 60.0
) -> Server[TreeSum]:
    """Return the server generator of one round.

    Args:
        tree: The groups.
        terms_of: The terms of a sum among some clients.
        word_bits: Bits of the terms' words.
        deadline: Seconds that clients have for each phase.

    Raises:
        RoundLostError: The top group came to no sum.
    """
    levels: list[Ended] = []
    for level in range(tree.top + 1):
        ready = _ready(tree, level, levels)
        levels.append((yield from _level(level, ready, terms_of, deadline)))
    top = levels[-1].get(0)
    if not isinstance(top, RingSum):
        raise _lost(tree, top)
    return _sum(tree, levels, top.words.size, word_bits)


def _ready(tree: Tree, level: int, below: list[Ended]) -> dict[int, tuple[int, ...]]:
    """Group of a level -> who may be in its sum: at least two, or there is none."""
    ready: dict[int, list[int]] = {}
    if level == 0:
        return {group: tree.members(0, group) for group in range(tree.num_groups(0))}
    for group, total in below[-1].items():
        if isinstance(total, RingSum):
            above = ((group + 1) * tree.num_groups(level) - 1) // tree.items[level]
            ready.setdefault(above, []).append(tree.client(level, group))
    return {group: tuple(sorted(found)) for group, found in ready.items() if len(found) > 1}


def _level(
    level: int, ready: Mapping[int, tuple[int, ...]], terms_of: TermsOf, deadline: float
) -> Generator[Phase, Outcomes, Ended]:
    def marked(phase: Phase) -> Phase:
        payload = {"group" if k == "cohort" else k: v for k, v in phase.payload.items()}
        return phase._replace(payload={**payload, "level": level})

    servers: dict[int, Server[RingSum]] = {
        group: mapped(pairwise_server(terms_of(members), deadline), marked)
        for group, members in ready.items()
    }
    return (yield from together(servers))


def _sum(tree: Tree, levels: list[Ended], num_words: int, word_bits: int) -> TreeSum:
    """Add up what was opened, from the top down: of groups whose leader's mask is in the sum."""
    total = np.zeros(num_words, word_dtype(word_bits))
    missing = dict.fromkeys(tree.cohort, "a group that it belongs to came to no sum")
    included = {0}
    for level in range(tree.top, -1, -1):
        found = {group: total for group, total in levels[level].items() if group in included}
        opened = {group: ring for group, ring in found.items() if isinstance(ring, RingSum)}
        for ring in opened.values():
            total += ring.words
        leaders = (client for ring in opened.values() for client in ring.members)
        if level:
            included = {_led(tree, level, client) for client in leaders}
            continue
        for ring in opened.values():
            for client in ring.members:
                del missing[client]
            missing |= ring.missing
    failed = {group: e for group, e in levels[0].items() if isinstance(e, FedketError)}
    for group, error in failed.items():
        missing |= dict.fromkeys(tree.members(0, group), str(error))
    return TreeSum(total, missing)


def _led(tree: Tree, level: int, leader: int) -> int:
    """The group of the level below that a client leads."""
    return tree.groups_of(leader)[level - 1]


def _lost(tree: Tree, top: RingSum | FedketError | None) -> RoundLostError:
    why = "fewer than 2 groups came to a sum" if top is None else str(top)
    return RoundLostError(
        f"the top group of {tree.top + 1} levels came to no sum ({why}); the round is lost and its "
        "keys are burned; go on with the next round",
        {},
    )
