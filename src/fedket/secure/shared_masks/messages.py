"""Protocol B: messages from client to client, which the server passes on and cannot read or alter.

One round takes from the stream of client i to client j, in this order,

    pad of the share, ceil(w*L/8) bytes | MAC key of the share, 32 | MAC key of the list, 32

the last one only with `malicious`. A share is packed in w bits per residue, then XORed with its
pad. A tag covers the message, what its sender says of the round's beginning, a header with the
offset of the reservation, the cohort and the whole plan: it fits one message of one run. The sender
of a stream tags, the receiver checks.
"""

from collections.abc import Mapping

import numpy as np

from fedket.errors import KeyMaterialError, ProtocolError
from fedket.secure import client_steps
from fedket.secure.mac import (
    MAC_KEY_BYTES,
    TAG_BYTES,
    Header,
    check_tag,
    make_tag,
)
from fedket.secure.phases import Payload, integer
from fedket.secure.shared_masks.field import Residues, pack_residues, unpack_residues
from fedket.secure.shared_masks.plan import Terms
from fedket.types import KeySource, Secret, Stream


def seal_share(
    keys: KeySource, terms: Terms, stream: Stream, offset: int, share: Residues, stated: bytes
) -> bytes:
    """Return a share under its pad, and a tag of it and of what the sender states with it.

    Args:
        keys: The sender's end of the stream.
        terms: Terms of the round.
        stream: From whom to whom.
        offset: Where the round's reservation begins in the stream, as both ends know.
        share: The share, shape (share_length,).
        stated: What the sender says of the round's beginning, `fedket.secure.begun`.
    """
    pad = keys.spend(terms.round_num, stream[0], stream, 0, terms.pad_bytes)
    sealed = _xor(pack_residues(terms.sharing.field, share), pad)
    return sealed + tag_message(keys, terms, "share", stream, offset, stated + sealed)


def unseal_share(
    keys: KeySource, terms: Terms, stream: Stream, offset: int, message: bytes, stated: bytes
) -> Residues:
    """Return the share in a message of `seal_share`; arguments as of `check_message`.

    Raises:
        ProtocolError: The tag is not that of the sender, or what it sent is no share.
    """
    sealed, tag = message[:-TAG_BYTES], message[-TAG_BYTES:]
    pad = keys.spend(terms.round_num, stream[1], stream, 0, terms.pad_bytes)
    check_message(keys, terms, "share", stream, offset, stated + sealed, tag)
    return unpack_residues(terms.sharing.field, _xor(sealed, pad), terms.share_length)


def tag_message(
    keys: KeySource, terms: Terms, action: str, stream: Stream, offset: int, data: bytes
) -> bytes:
    """Tag a message as its sender.

    Args:
        keys: The sender's end of the stream.
        terms: Terms of the round.
        action: `share` or `confirm`.
        stream: From whom to whom.
        offset: Where the round's reservation begins in the stream, as both ends know.
        data: The message.
    """
    key = _mac_key(keys, terms, action, stream, stream[0])
    return make_tag(key, _header(terms, action, stream, offset), terms.context + data)


def check_message(
    keys: KeySource,
    terms: Terms,
    action: str,
    stream: Stream,
    offset: int,
    data: bytes,
    tag: bytes,
) -> None:
    """Check a message as its receiver; arguments as of `tag_message`.

    Raises:
        ProtocolError: Message and tag are not what the sender made.
    """
    key = _mac_key(keys, terms, action, stream, stream[1])
    check_tag(key, _header(terms, action, stream, offset), terms.context + data, tag)


def accept_offsets(
    keys: KeySource, terms: Terms, client_id: int, offsets: Mapping[Stream, int]
) -> set[Stream]:
    """Set aside, as the receiver, what senders announced; return the streams where that worked.

    In one transaction if all are sound; otherwise one by one, so that a sender which announces
    nonsense only harms itself.
    """
    ranges = {stream: (offset, terms.stream_bytes) for stream, offset in offsets.items()}
    if _accepts(keys, terms, client_id, ranges):
        return set(ranges)
    return {s for s, one in ranges.items() if _accepts(keys, terms, client_id, {s: one})}


def cut(data: bytes, size: int) -> list[bytes]:
    """Return the pieces of `size` bytes that `data` is made of.

    Raises:
        ProtocolError: `data` is no whole number of pieces.
    """
    if len(data) % size:
        raise ProtocolError(
            f"messages of {size} bytes each should arrive, {len(data)} bytes did; all parties must "
            "agree on the plan"
        )
    return [data[start : start + size] for start in range(0, len(data), size)]


def refusal(client_id: int, payload: Payload, what: str) -> ProtocolError:
    """Return the error of a client that cannot do what a request asks."""
    return client_steps.refusal(client_id, integer(payload, "round_num"), what)


def _accepts(
    keys: KeySource, terms: Terms, client_id: int, ranges: Mapping[Stream, tuple[int, int]]
) -> bool:
    try:
        keys.accept(terms.round_num, client_id, ranges)
    except KeyMaterialError:
        return False
    return True


def _mac_key(keys: KeySource, terms: Terms, action: str, stream: Stream, client_id: int) -> Secret:
    start = terms.pad_bytes + (0 if action == "share" else MAC_KEY_BYTES)
    return keys.spend(terms.round_num, client_id, stream, start, MAC_KEY_BYTES)


def _header(terms: Terms, action: str, stream: Stream, offset: int) -> Header:
    return Header(terms.plan.run_id, action, terms.round_num, *stream, offset)


def _xor(data: bytes, pad: Secret) -> bytes:
    return np.bitwise_xor(
        np.frombuffer(data, np.uint8), np.frombuffer(pad.reveal(), np.uint8)
    ).tobytes()
