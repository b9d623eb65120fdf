"""Hierarchical sums, client side: Protocol A's client at each level at which it is in a group.

A leader hides the sum of its group behind a mask from the operating system's generator, which it
gives, in a sum with those of other leaders, one level up. So a client uploads only if the leader of
its group is among the members; it refuses groups that are not those of its own tree.
"""

import os
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from fedket.errors import ProtocolError
from fedket.secure.client_steps import refusal
from fedket.secure.hierarchy.tree import Tree
from fedket.secure.pairwise.client import ClientState, pairwise_client
from fedket.secure.pairwise.terms import Terms, check_same_terms
from fedket.secure.phases import Failure, Handler, Outcome, Payload, integer, integers
from fedket.secure.words import Words, packed_size, unpack_words
from fedket.types import KeySource


class TreeState(NamedTuple):
    """What a client remembers.

    Attributes:
        round_num: Latest round taken part in.
        levels: State at each level.
        masks: Level that it leads a group of -> what hides this group's sum. Private.
    """

    round_num: int = 0
    levels: Mapping[int, ClientState] = {}
    masks: Mapping[int, Words] = {}

    def __repr__(self) -> str:
        return f"TreeState(round {self.round_num}, masks hidden)"


def tree_client(
    client_id: int,
    keys: KeySource,
    tree: Callable[[], Tree],
    terms_of: Callable[[tuple[int, ...]], Terms],
    update: Callable[[Terms], Words | None],
) -> Handler[TreeState]:
    """Return the handler of one client.

    Args:
        client_id: This client.
        keys: Where its pads come from.
        tree: The groups of the round, as it knows them itself.
        terms_of: Its own idea of the terms of a sum among some clients.
        update: Terms -> its quantised words, or None when there is no usable update.
    """

    def handle(action: str, payload: Payload, state: TreeState) -> tuple[Outcome, TreeState]:
        try:
            level, round_num = integer(payload, "level"), integer(payload, "round_num")
        except ProtocolError as error:
            return Failure(str(error)), state
        if round_num > state.round_num:
            kept = {k: ClientState(state.round_num) for k in state.levels}
            state = TreeState(round_num, kept)
        masks = dict(state.masks)

        def words(asked: Terms) -> Words | None:
            check_same_terms(client_id, terms_of(asked.cohort), asked)
            own = update(asked) if level == 0 else _given(client_id, asked, masks, level)
            if own is None or not _leads(client_id, tree(), level):
                return own
            random = os.urandom(packed_size(asked.num_words, asked.word_bits))
            masks[level] = unpack_words(random, asked.num_words, asked.word_bits)
            hidden: Words = np.add(own, masks[level], dtype=own.dtype)
            return hidden

        inner = pairwise_client(client_id, keys, words)
        before = state.levels.get(level, ClientState(round_num - 1))
        try:
            said = _checked(client_id, tree(), level, payload)
        except ProtocolError as error:
            return Failure(str(error)), state
        outcome, after = inner(action, said, before)
        return outcome, TreeState(round_num, {**state.levels, level: after}, masks)

    return handle


def _given(client_id: int, asked: Terms, masks: dict[int, Words], level: int) -> Words:
    """Take the mask of the level below, once, with the sign that removes it."""
    if level - 1 not in masks:
        what = f"an update for level {level}, where it has none to give"
        raise refusal(client_id, asked.round_num, what)
    mask = masks.pop(level - 1)
    taken: Words = np.negative(mask, dtype=mask.dtype)
    return taken


def _leads(client_id: int, tree: Tree, level: int) -> bool:
    """Whether the client hides the sum of its group at a level: as leader, below the top."""
    return level < tree.top and len(tree.groups_of(client_id)) > level + 1


def _checked(client_id: int, tree: Tree, level: int, payload: Payload) -> Payload:
    """Return a request as Protocol A has it.

    Raises:
        ProtocolError: Its group is not the client's, or has no leader to hide its sum.
    """
    groups = tree.groups_of(client_id)
    if not 0 <= level < len(groups):
        raise refusal(client_id, integer(payload, "round_num"), f"a group of level {level}")
    if "group" in payload:
        asked = integers(payload, "group")
        if not set(asked) <= set(tree.members(level, groups[level])):
            what = f"group {list(asked)} at level {level}, which is not its own"
            raise refusal(client_id, integer(payload, "round_num"), what)
        payload = {"cohort" if k == "group" else k: v for k, v in payload.items()}
    if "members" in payload and level < tree.top:
        leader = tree.leader(level, groups[level])
        if leader not in integers(payload, "members"):
            what = f"a sum without client {leader}, whose mask hides it"
            raise refusal(client_id, integer(payload, "round_num"), what)
    return payload
