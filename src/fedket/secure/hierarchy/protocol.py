"""Hierarchical sums as a `Protocol`: constant cost per client, whatever the size of the cohort."""

import hashlib
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Literal

from pydantic import Field

from fedket.section import Context
from fedket.secure.begun import Begun
from fedket.secure.hierarchy.client import TreeState, tree_client
from fedket.secure.hierarchy.server import tree_server
from fedket.secure.hierarchy.tree import Tree, make_tree
from fedket.secure.pairwise.terms import Terms, make_terms, pad_bytes, receivers, stream_bytes
from fedket.secure.phases import Handler, Server
from fedket.secure.protocol import Party, Protocol, RoundCost, Total, Update, halved
from fedket.secure.quantise import QUANTISERS, Modulus, word_width
from fedket.secure.quantised import MODULI, WordsConfig
from fedket.secure.words import Words, nearest_integers, to_words
from fedket.types import RoundContext, Stream

PHASES_PER_LEVEL = 5
"""RESERVE, READY, UPLOAD, and an abort before and after it."""


def hierarchical_protocol(
    bits: int,
    clip: float,
    *,
    modulus: Modulus = "safe",
    group_size: int = 16,
    authenticate: bool = True,
) -> Protocol:
    """Return the protocol of `fedket.secure.hierarchy.server`: the server sees the sum.

    Args:
        bits: Bits per value (q).
        clip: Largest absolute unweighted update per coordinate.
        modulus: `headroom` or `safe`, see `fedket.secure.quantise`.
        group_size: Least clients of a group, see `make_tree`; a client shares pads with all of its.
        authenticate: False leaves out the MACs of messages.
    """

    def tree(context: RoundContext) -> Tree:
        seed = f"fedket groups of round {context.round_num} of seed {context.seed}"
        drawn = context.graph_seed or hashlib.sha256(seed.encode()).digest()
        return make_tree(context.client_ids, group_size, drawn)

    def width(context: RoundContext) -> int:
        return word_width(bits, modulus, len(context.client_ids))

    def terms(context: RoundContext, num_values: int, group: tuple[int, ...]) -> Terms:
        return make_terms(context.round_num, group, num_values, width(context))

    def server(
        context: RoundContext,
        num_values: int,
        run_id: str,  # noqa: ARG001 - the same signature as other protocols
        deadline: float,
    ) -> Server[Total]:
        terms_of, word_bits = partial(terms, context, num_values), width(context)
        total = yield from tree_server(tree(context), terms_of, word_bits, deadline)
        return Total(nearest_integers(total.words, word_bits), total.missing)

    def client(
        client_id: int, party: Party, update: Update, num_values: int, begun: Begun
    ) -> Handler[TreeState]:
        def words(asked: Terms) -> Words | None:
            integers = update(asked.round_num)
            return None if integers is None else to_words(integers, asked.word_bits)

        context = begun.context
        terms_of = partial(terms, context, num_values)
        return tree_client(client_id, party.keys, partial(tree, context), terms_of, words)

    def cost(context: RoundContext, num_values: int) -> RoundCost:
        groups, sent, answers = tree(context), 0, 0
        key: dict[Stream, int] = {}
        size = pad_bytes(terms(context, num_values, context.client_ids[:2]))
        for level in range(groups.top + 1):
            for group in range(groups.num_groups(level)):
                of_group = terms(context, num_values, groups.members(level, group))
                streams = [(i, j) for i in of_group.cohort for j in receivers(of_group, i)]
                key |= {stream: stream_bytes(of_group, stream) for stream in streams}
                sent += len(of_group.cohort) * size + 8 * len(streams)
                answers += 3 * len(of_group.cohort)  # all of a level's phases but two aborts
        return RoundCost(sent, size, key, PHASES_PER_LEVEL * (groups.top + 1), answers)

    def cheaper(step: str, num_clients: int) -> Sequence[tuple[str, Protocol]]:  # noqa: ARG001
        again = partial(
            hierarchical_protocol,
            clip=clip,
            modulus=modulus,
            group_size=group_size,
            authenticate=authenticate,
        )
        return [(f"{b} bits", again(b)) for b in halved(bits)] if step == "lower_bits" else []

    return Protocol(
        clip=clip,
        quantiser=partial(QUANTISERS[modulus], bits, clip),
        server=server,
        client=client,
        state=TreeState,
        cost=cost,
        trains="ready",
        opens={},
        least=2,
        takes_key=True,
        authenticated=authenticate,
        cheaper=cheaper,
    )


class HierarchicalConfig(WordsConfig):
    """Words under one-time pads that the clients of small groups share, and groups of groups."""

    kind: Literal["hierarchical"] = "hierarchical"
    modulus: Modulus = "safe"
    """`headroom`: words of q bits; `safe`: words of q + ceil(log2 clients) bits."""
    group_size: Annotated[int, Field(ge=2, le=4096)] = 16
    """Least clients of a group, with all of whom each shares a pad; groups have fewer than twice as
    many, that at the top fewer than four times. Leaders share pads with other leaders, too."""
    authenticate: bool = True
    """Give every message a MAC, with a one-time key of the client's link to the server."""

    def build(self, context: Context) -> Protocol:
        """The protocol."""
        return hierarchical_protocol(
            self.bits,
            self.clip,
            modulus=self.modulus,
            group_size=self.group_size,
            authenticate=self.authenticate,
        )

    def caveats(self) -> tuple[str, ...]:
        """What the server sees."""
        return (
            "hierarchical: the server, if it follows the protocol, sees only the sum of the "
            "cohort's updates. Together with the leader of a group it sees the sum of that group's "
            "others, and together with all others of a group one client's update.",
            MODULI[self.modulus],
        )
