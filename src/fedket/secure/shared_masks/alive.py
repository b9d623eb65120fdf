"""Protocol B, phase B3 at a client: whose sum is opened, and that all were told the same.

Without the exchange of tags, a server that names different lists to different clients opens
several sums. With it a client opens a list only if U clients, itself included, say they were told
this list; each says so once per round. U > (n + T)/2: two such groups have more than T clients in
common, so an honest one, which would have said so of two lists.
"""

from collections.abc import Mapping

from fedket.errors import ProtocolError
from fedket.secure.mac import TAG_BYTES, encode
from fedket.secure.phases import Payload, integers, octets
from fedket.secure.shared_masks.messages import CONFIRM, check_message, cut, refusal, tag_message
from fedket.secure.shared_masks.plan import Terms, is_part
from fedket.types import KeySource, Stream


def read_alive(terms: Terms, client_id: int, payload: Payload) -> tuple[int, ...]:
    """Return U1 as the server names it, if it is sound.

    Raises:
        ProtocolError: Alive and dropped are not the cohort, each client once, or fewer than U are
            alive, or this client is not.
    """
    alive, dropped = integers(payload, "alive"), integers(payload, "dropped")
    is_split = is_part(alive, terms.cohort) and sorted(alive + dropped) == list(terms.cohort)
    if not is_split or client_id not in alive or len(alive) < terms.plan.threshold:
        raise refusal(
            client_id,
            payload,
            f"clients {list(alive)} alive and {list(dropped)} dropped; together they must be the "
            f"cohort {list(terms.cohort)}, {terms.plan.threshold} or more alive, it among them",
        )
    return alive


def confirm_alive(
    keys: KeySource,
    terms: Terms,
    client_id: int,
    offsets: Mapping[Stream, int],
    alive: tuple[int, ...],
    stated: bytes,
) -> bytes:
    """Return this client's tags of U1 for each of the others in it, in their order.

    The list itself is under the MAC; a hash of it would be an assumption, and save no key.

    Args:
        keys: This client's ends of the streams.
        terms: Terms of the round.
        client_id: This client.
        offsets: Where the round begins in each of its streams.
        alive: From `read_alive`.
        stated: What this client says of the round's beginning, `fedket.secure.begun`.
    """
    streams = [(client_id, i) for i in alive if i != client_id]
    said = encode(alive, stated)
    return b"".join(tag_message(keys, terms, CONFIRM, s, offsets[s], said) for s in streams)


def check_confirmed(
    keys: KeySource,
    terms: Terms,
    client_id: int,
    offsets: Mapping[Stream, int],
    alive: tuple[int, ...],
    stated: bytes,
    payload: Payload,
) -> None:
    """Check that U clients confirmed this client's U1; arguments as of `confirm_alive`.

    Raises:
        ProtocolError: Fewer did. A tag that is wrong counts for nothing.
    """
    senders, tags = integers(payload, "confirmed"), cut(octets(payload, "tags"), TAG_BYTES)
    others = tuple(i for i in alive if i != client_id)
    if not is_part(senders, others) or len(senders) != len(tags):
        raise refusal(client_id, payload, f"{len(tags)} tags of clients {list(senders)}")
    confirmed, said = 1, encode(alive, stated)
    for i, tag in zip(senders, tags, strict=True):
        stream = (i, client_id)
        try:
            check_message(keys, terms, CONFIRM, stream, offsets[stream], said, tag)
        except ProtocolError:
            continue
        confirmed += 1
    if confirmed < terms.plan.threshold:
        raise refusal(
            client_id,
            payload,
            f"only {confirmed} clients confirm that {list(alive)} are alive, "
            f"{terms.plan.threshold} must; the server may have told others something else",
        )
