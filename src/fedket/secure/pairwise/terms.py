"""Protocol A: what server and clients agree on before a round, and how both sides read it."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from fedket.errors import ProtocolError
from fedket.secure.mac import MAC_KEY_BYTES
from fedket.secure.pairwise.graph import (
    Graph,
    check_degree,
    is_connected,
    make_graph,
    neighbours,
    num_edges,
)
from fedket.secure.phases import Payload, integer, integers, octets
from fedket.secure.words import packed_size, word_dtype
from fedket.types import Stream


class Terms(NamedTuple):
    """The public description of a round.

    Attributes:
        round_num: Round number, from 1; goes up.
        cohort: Client ids, ascending, at least 2.
        num_words: Words per client (d).
        word_bits: Bits per word (w).
        chunk_words: Words per UPLOAD message, a multiple of 8 unless all fit in one. Smaller
            pieces bound the memory for pads in a simulation and the size of messages.
        degree: Clients with whom each shares a pad (k), len(cohort) - 1 for all.
        graph_seed: Public randomness that orders the ring, see `fedket.secure.pairwise.graph`.
        confirm: Whether neighbours confirm to each other how the round began and who is in it.
        links: The pairs that share pads, one after the other, in place of a degree (which is 0);
            empty where it counts.
    """

    round_num: int
    cohort: tuple[int, ...]
    num_words: int
    word_bits: int
    chunk_words: int
    degree: int
    graph_seed: bytes
    confirm: bool = False
    links: tuple[int, ...] = ()


def make_terms(
    round_num: int,
    cohort: tuple[int, ...],
    num_words: int,
    word_bits: int,
    *,
    chunk_words: int | None = None,
    degree: int | None = None,
    graph_seed: bytes = b"",
    confirm: bool = False,
    links: Iterable[tuple[int, int]] | None = None,
) -> Terms:
    """Return checked terms; by default one message per client and the complete graph.

    Of `links`, those between clients of the cohort count.

    Raises:
        ProtocolError: Terms that no client would accept.
        ConfigError: No such word size or degree.
    """
    chunk_words = num_words if chunk_words is None else chunk_words
    degree = len(cohort) - 1 if degree is None else degree
    flat: tuple[int, ...] = ()
    if links is not None:
        inside = sorted(link for link in links if set(link) <= set(cohort))
        degree, flat = 0, tuple(i for link in inside for i in link)
    terms = Terms(
        round_num, cohort, num_words, word_bits, chunk_words, degree, graph_seed, confirm, flat
    )
    check_terms(terms)
    return terms


def check_terms(terms: Terms) -> None:
    """Raise `ProtocolError` or `ConfigError` unless a round can be held on these terms."""
    ids = terms.cohort
    if len(ids) < 2:
        raise ProtocolError(too_few(terms.round_num, ids))
    if min(ids) < 0 or list(ids) != sorted(set(ids)):
        raise ProtocolError(f"a cohort is client ids from 0, ascending; got {list(ids)}")
    if terms.num_words < 1:
        raise ProtocolError(f"an update has 1 or more words, got {terms.num_words}")
    if terms.chunk_words < 1 or (terms.chunk_words % 8 and terms.chunk_words < terms.num_words):
        raise ProtocolError(
            f"chunk_words must be a positive multiple of 8, got {terms.chunk_words}"
        )
    word_dtype(terms.word_bits)
    if terms.degree:
        check_degree(terms.degree, len(ids))
    else:
        _check_links(terms)


def _check_links(terms: Terms) -> None:
    links = list(_pairs(terms.links))
    sound = all(a < b and {a, b} <= set(terms.cohort) for a, b in links)
    if len(terms.links) % 2 or not sound or links != sorted(set(links)):
        raise ProtocolError(f"links are pairs of the cohort, ascending; got {list(terms.links)}")
    if not is_connected(graph_of(terms), terms.cohort):
        raise ProtocolError(
            f"the links between clients {list(terms.cohort)} do not join all of them, and masks "
            "along them would open more than one sum; add links, or let fewer clients take part"
        )


def _pairs(flat: tuple[int, ...]) -> Iterator[tuple[int, int]]:
    return zip(flat[::2], flat[1::2], strict=False)


def too_few(round_num: int, clients: tuple[int, ...], reasons: tuple[str, ...] = ()) -> str:
    """Return the message that there are too few clients to hide behind each other."""
    dropped = f"; {len(reasons)} dropped out, the first: {reasons[0]}" if reasons else ""
    return (
        f"masked aggregation hides nothing with fewer than 2 clients; in round {round_num} there "
        f"are {len(clients)} ({list(clients)}{dropped}); let more clients take part in a round "
        '(or, in a simulation whose updates need no protection, set aggregation.kind = "plain")'
    )


def graph_of(terms: Terms) -> Graph:
    """Return who shares pads with whom."""
    if terms.degree == 0:
        return Graph(terms.cohort, 0, frozenset(_pairs(terms.links)))
    return make_graph(terms.cohort, terms.degree, terms.graph_seed)


def edges(terms: Terms) -> int:
    """Return the pairs that share pads."""
    return len(terms.links) // 2 or num_edges(len(terms.cohort), terms.degree)


def pad_bytes(terms: Terms) -> int:
    """Return the bytes of one pad."""
    return packed_size(terms.num_words, terms.word_bits)


def mac_bytes(terms: Terms) -> int:
    """Return the bytes of the MAC key with which each stream of neighbours begins."""
    return MAC_KEY_BYTES if terms.confirm else 0


def stream_bytes(terms: Terms, stream: Stream) -> int:
    """Return the bytes that the round takes of the stream from one neighbour to another."""
    return mac_bytes(terms) + (pad_bytes(terms) if stream[0] < stream[1] else 0)


def piece(terms: Terms, offset: int) -> int:
    """Return the words of the UPLOAD message that starts at a word; 0 where none does."""
    starts_here = 0 <= offset < terms.num_words and offset % terms.chunk_words == 0
    return min(terms.chunk_words, terms.num_words - offset) if starts_here else 0


def num_messages(terms: Terms) -> int:
    """Return the most messages to a client: RESERVE, READY, CONFIRM, UPLOADs and an abort."""
    return 3 + terms.confirm - (-terms.num_words // terms.chunk_words)


def pad_bits(terms: Terms) -> int:
    """Return the key bits of all pads of the round, each counted once."""
    return 8 * pad_bytes(terms) * edges(terms)


def mac_bits(terms: Terms) -> int:
    """Return the key bits of all MACs between neighbours, each counted once."""
    return 8 * mac_bytes(terms) * 2 * edges(terms)


def peers(terms: Terms, client_id: int) -> tuple[int, ...]:
    """Return a client's neighbours, ascending."""
    return neighbours(graph_of(terms), client_id)


def higher(terms: Terms, client_id: int) -> tuple[int, ...]:
    """Return the neighbours that a client sends pads to, ascending."""
    return tuple(i for i in peers(terms, client_id) if i > client_id)


def lower(terms: Terms, client_id: int) -> tuple[int, ...]:
    """Return the neighbours that a client receives pads from, ascending."""
    return tuple(i for i in peers(terms, client_id) if i < client_id)


def receivers(terms: Terms, client_id: int) -> tuple[int, ...]:
    """Return the neighbours that a client reserves key for, ascending."""
    return peers(terms, client_id) if terms.confirm else higher(terms, client_id)


def senders(terms: Terms, client_id: int) -> tuple[int, ...]:
    """Return the neighbours that reserve key for a client, ascending."""
    return peers(terms, client_id) if terms.confirm else lower(terms, client_id)


def terms_payload(terms: Terms) -> Payload:
    """Return the terms as a message."""
    lists = {"cohort": list(terms.cohort), "links": list(terms.links)}
    return {**terms._asdict(), **lists, "confirm": int(terms.confirm)}


def read_terms(payload: Payload) -> Terms:
    """Return the terms in a message, checked.

    Raises:
        ProtocolError: A field is missing or of the wrong kind, or the terms cannot be held.
        ConfigError: No such word size or degree.
    """
    terms = Terms(
        integer(payload, "round_num"),
        integers(payload, "cohort"),
        integer(payload, "num_words"),
        integer(payload, "word_bits"),
        integer(payload, "chunk_words"),
        integer(payload, "degree"),
        octets(payload, "graph_seed"),
        bool(integer(payload, "confirm")),
        integers(payload, "links"),
    )
    check_terms(terms)
    return terms


def check_same_terms(client_id: int, own: Terms, asked: Terms) -> None:
    """Check that a server asks for the terms that a client would have by itself.

    Raises:
        ProtocolError: It does not; the first difference is named.
    """
    for field, mine, theirs in zip(Terms._fields, own, asked, strict=True):
        if mine != theirs:
            shown = [value.hex() if isinstance(value, bytes) else value for value in (mine, theirs)]
            raise ProtocolError(
                f"client {client_id} in round {own.round_num} goes by {field} {shown[0]}, the "
                f"server asks for {shown[1]}; all parties must have the same experiment"
            )
