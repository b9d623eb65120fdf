"""Protocol A as a `Protocol`: words of a ring, masked with pads that pairs of clients share."""

import hashlib
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Literal

from pydantic import Field

from fedket.schema import NonNegativeInt
from fedket.section import Context
from fedket.secure.begun import STATEMENT_BYTES, Begun
from fedket.secure.in_process import reduce_in_process
from fedket.secure.mac import TAG_BYTES
from fedket.secure.pairwise.client import ClientState, pairwise_client
from fedket.secure.pairwise.confirm import Own
from fedket.secure.pairwise.graph import Degree, choose_degree
from fedket.secure.pairwise.server import pairwise_server
from fedket.secure.pairwise.terms import (
    Terms,
    check_same_terms,
    edges,
    graph_of,
    make_terms,
    num_messages,
    pad_bytes,
    receivers,
    stream_bytes,
)
from fedket.secure.phases import Handler, Server
from fedket.secure.protocol import Party, Protocol, RoundCost, Total, Update, halved
from fedket.secure.quantise import QUANTISERS, Modulus, word_width
from fedket.secure.quantised import MODULI, WordsConfig
from fedket.secure.shares import DEFAULT, MaxShare, check_max_share
from fedket.secure.words import Words, nearest_integers, to_words
from fedket.types import KeySource, Reducer, RoundContext

PAD_MEMORY_BYTES = 128 * 2**20
"""In one process, pads that one end has used and the other not yet; the chunk size obeys it."""

MESSAGE_BYTES = 8 * 2**20
"""Most of an upload that is one message: what a site, and the server for each site, holds of it."""


def pairwise_protocol(
    bits: int,
    clip: float,
    *,
    modulus: Modulus = "headroom",
    degree: Degree = "auto",
    corrupt_fraction: float = 1 / 3,
    authenticate: bool = True,
    confirm: bool = False,
    max_share: float = DEFAULT,
    links: frozenset[tuple[int, int]] | None = None,
) -> Protocol:
    """Return Protocol A: the server sees the sum, see `fedket.secure.pairwise.server`.

    Args:
        bits: Bits per value (q).
        clip: Largest absolute unweighted update per coordinate.
        modulus: `headroom` or `safe`, see `fedket.secure.quantise`.
        degree: With how many others each client shares a pad; see `choose_degree`.
        corrupt_fraction: Fraction of colluding or dropping clients that degree "auto" provides for.
        authenticate: False leaves out the MACs of messages: for tests of attacks.
        confirm: Whether neighbours confirm to each other what they were shown, before they upload.
        max_share: See `fedket.secure.shares`.
        links: The pairs that share key, the smaller client first: masks go along these between the
            clients of a round, whatever the degree. None for all pairs.

    Raises (in a round):
        ConfigError: The cohort is too large for `bits` with `headroom`, or there is no graph of
            that degree.
    """

    def terms(context: RoundContext, num_values: int) -> Terms:
        num_clients = len(context.client_ids)
        chosen = choose_degree(degree, num_clients, corrupt_fraction)
        width = word_width(bits, modulus, num_clients)
        return _terms(context, num_values, width, chosen, confirm, links)

    def server(
        context: RoundContext,
        num_values: int,
        run_id: str,  # noqa: ARG001 - the same signature as other protocols
        deadline: float,
    ) -> Server[Total]:
        of_round = terms(context, num_values)
        total = yield from pairwise_server(of_round, deadline)
        return Total(nearest_integers(total.words, of_round.word_bits), total.missing)

    def client(
        client_id: int,
        party: Party,
        update: Update,
        num_values: int,
        begun: Begun,
    ) -> Handler[ClientState]:
        def words(asked: Terms) -> Words | None:
            check_same_terms(client_id, terms(begun.context, num_values), asked)
            integers = update(asked.round_num)
            return None if integers is None else to_words(integers, asked.word_bits)

        own = Own(party.run_id, begun.statement)
        return pairwise_client(client_id, party.keys, words, own)

    def cost(context: RoundContext, num_values: int) -> RoundCost:
        of_round = terms(context, num_values)
        num_clients, size = len(of_round.cohort), pad_bytes(of_round)
        streams = [(i, j) for i in of_round.cohort for j in receivers(of_round, i)]
        key = {stream: stream_bytes(of_round, stream) for stream in streams}
        sent = num_clients * size + 8 * len(streams)
        if confirm:
            sent += num_clients * STATEMENT_BYTES + TAG_BYTES * len(streams)
        return RoundCost(sent, size, key, num_messages(of_round))

    def cheaper(step: str, num_clients: int) -> Sequence[tuple[str, Protocol]]:
        again = partial(
            pairwise_protocol,
            clip=clip,
            modulus=modulus,
            corrupt_fraction=corrupt_fraction,
            authenticate=authenticate,
            confirm=confirm,
            max_share=max_share,
            links=links,
        )
        if step == "lower_bits":
            return [(f"{fewer} bits", again(fewer, degree=degree)) for fewer in halved(bits)]
        if step == "smaller_degree" and links is None:
            half = max(2, choose_degree(degree, num_clients, corrupt_fraction) // 4 * 2)
            return [(f"degree {half}", again(bits, degree=half))]
        return []

    return Protocol(
        clip=clip,
        quantiser=partial(QUANTISERS[modulus], bits, clip),
        server=server,
        client=client,
        state=ClientState,
        cost=cost,
        trains="ready",
        opens={"upload": "members"},
        least=2,
        actions=("reserve", "ready", "upload"),
        takes_key=True,
        authenticated=authenticate,
        cheaper=cheaper,
        max_share=max_share,
    )


def masked_sum(
    bits: int,
    modulus: Modulus,
    clip: float,
    key_source: KeySource,
    *,
    degree: Degree = "auto",
    corrupt_fraction: float = 1 / 3,
    authenticate: bool = True,
    run_id: str = "in process",
) -> Reducer:
    """Return the reducer of `pairwise_protocol`, with the keys of all parties; arguments as there.

    It equals `quantised_sum` bit for bit.
    """
    protocol = pairwise_protocol(
        bits,
        clip,
        modulus=modulus,
        degree=degree,
        corrupt_fraction=corrupt_fraction,
        authenticate=authenticate,
    )
    return reduce_in_process(protocol, key_source, run_id)


def _terms(
    context: RoundContext,
    num_words: int,
    word_bits: int,
    degree: int,
    confirm: bool,
    links: frozenset[tuple[int, int]] | None,
) -> Terms:
    """Return the terms of a round; the seed of the graph is public, not secret."""
    seed = f"fedket graph of round {context.round_num} of seed {context.seed}"
    terms = make_terms(
        context.round_num,
        context.client_ids,
        num_words,
        word_bits,
        degree=degree,
        graph_seed=context.graph_seed or hashlib.sha256(seed.encode()).digest(),
        confirm=confirm,
        links=links,
    )
    reach = graph_of(terms).reach
    pads = reach * (reach + 1) or edges(terms)
    return terms._replace(chunk_words=_chunk_words(pads, num_words, word_bits))


def _chunk_words(pads: int, num_words: int, word_bits: int) -> int:
    """Return how many words to upload at a time, a multiple of 8.

    Clients take turns in the order of the ring, which r*(r+1) edges cross in two places (reach r);
    of given links all may be crossed.
    """
    affordable = min(PAD_MEMORY_BYTES // pads, MESSAGE_BYTES) * 8 // word_bits
    return max(8, min(affordable, num_words + 7) // 8 * 8)


CONFIRMED = (
    "pairwise_masks with aggregation.confirm: a server that lies learns one sum of a round, over "
    "two clients or more; with one of them on its side that is the other one's update. "
    "shared_masks ask for aggregation.threshold clients."
)

UNCONFIRMED = (
    "pairwise_masks without aggregation.confirm hold against a server that follows the protocol. "
    "One that lies reads single updates: it shows clients different models, numbers of samples or "
    "members. aggregation.confirm = true ends that, for one more phase."
)


class PairwiseMasksConfig(WordsConfig):
    """Words under one-time pads that pairs of clients share; the server sees their sum only."""

    kind: Literal["pairwise_masks"] = "pairwise_masks"
    degree: NonNegativeInt = 0
    """With how many others each client shares a pad, an even number; 0 means all of them up to 20
    clients, and beyond as many as `corrupt_fraction` asks for."""
    corrupt_fraction: Annotated[float, Field(ge=0, lt=1)] = 1 / 3
    """Share of clients that may collude or drop out, for degree 0."""
    authenticate: bool = True
    """Give every message a MAC, with a one-time key of the client's link to the server."""
    confirm: bool = False
    """Let clients confirm to each other, before they upload, that all were shown the same model,
    numbers of samples and members; one more phase, and 512 bits of key for each pair."""
    max_share: MaxShare = DEFAULT
    """Largest share of a round's samples that may be one site's; simulated clients are not asked
    how many they have."""

    def check(self, context: Context) -> None:
        """Refuse what cannot be kept."""
        check_max_share(self.max_share, context)

    def build(self, context: Context) -> Protocol:
        """The protocol."""
        return pairwise_protocol(
            self.bits,
            self.clip,
            modulus=self.modulus,
            degree=self.degree or "auto",
            corrupt_fraction=self.corrupt_fraction,
            authenticate=self.authenticate,
            confirm=self.confirm,
            max_share=self.max_share,
            links=context.links,
        )

    def caveats(self) -> tuple[str, ...]:
        """What the server sees."""
        return (
            "pairwise_masks: the server sees only the sum of the cohort's updates. All other "
            "clients together with the server can still work out one client's update.",
            CONFIRMED if self.confirm else UNCONFIRMED,
            MODULI[self.modulus],
        )
