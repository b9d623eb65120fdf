"""Protocol B: messages from client to client, which the server passes on and cannot read or alter.

One round takes from the stream of client j to client i, in this order,

    MAC key of `reserve` | pad of a share | MAC key of the share | MAC key of the list

32 bytes a MAC key, the last one only with `malicious`; the pad has ceil(w*L/8) bytes. Client j sets
them aside and tells i where they begin; it is *i* that uses the pad, for the share that it sends to
j, once the tag has shown that j did set them aside. So both ends have the bytes behind them, on
disk, before any is used as a pad, and an end that is restored from an old copy learns from the
other one that they are spent. A share is packed in w bits per residue, then XORed with its pad.

A tag covers the message, what its sender says of the round's beginning, a header with the offset of
the reservation, the cohort and the whole plan: it fits one message of one run.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import NamedTuple

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


class Kind(NamedTuple):
    """A kind of tagged message.

    Attributes:
        name: Of it.
        maker: Which end of the stream whose key it takes makes it: 0 who sets key aside, or 1.
        after: Pads before its MAC key.
        place: MAC keys before its own.
    """

    name: str
    maker: int
    after: int
    place: int


RESERVE, SHARE, CONFIRM = Kind("reserve", 0, 0, 0), Kind("share", 1, 1, 1), Kind("confirm", 0, 1, 2)


def seal_share(
    keys: KeySource, terms: Terms, stream: Stream, offset: int, share: Residues, stated: bytes
) -> bytes:
    """Return a share for the sender of a stream under its pad, and a tag of it and what is stated.

    Args:
        keys: The receiver's end of the stream.
        terms: Terms of the round.
        stream: From whom the key was announced, to whom.
        offset: Where the round's reservation begins in the stream, as both ends know.
        share: The share, shape (share_length,).
        stated: What the client says of the round's beginning, `fedket.secure.begun`.
    """
    pad = keys.spend(terms.round_num, stream[1], stream, MAC_KEY_BYTES, terms.pad_bytes)
    sealed = _xor(pack_residues(terms.sharing.field, share), pad)
    return sealed + tag_message(keys, terms, SHARE, stream, offset, stated + sealed)


def unseal_share(
    keys: KeySource, terms: Terms, stream: Stream, offset: int, message: bytes, stated: bytes
) -> Residues:
    """Return the share in a message of `seal_share`, at the sender's end of the stream.

    Raises:
        ProtocolError: The tag is not that of the stream's receiver, or what it sent is no share.
    """
    sealed, tag = message[:-TAG_BYTES], message[-TAG_BYTES:]
    pad = keys.spend(terms.round_num, stream[0], stream, MAC_KEY_BYTES, terms.pad_bytes)
    check_message(keys, terms, SHARE, stream, offset, stated + sealed, tag)
    return unpack_residues(terms.sharing.field, _xor(sealed, pad), terms.share_length)


def tag_message(
    keys: KeySource, terms: Terms, kind: Kind, stream: Stream, offset: int, data: bytes = b""
) -> bytes:
    """Tag a message.

    Args:
        keys: Its maker's end of the stream.
        terms: Terms of the round.
        kind: What kind of message it is.
        stream: Whose key it takes.
        offset: Where the round's reservation begins in the stream, as both ends know.
        data: The message.
    """
    key = _mac_key(keys, terms, kind, stream, stream[kind.maker])
    return make_tag(key, _header(terms, kind, stream, offset), terms.context + data)


def check_message(
    keys: KeySource,
    terms: Terms,
    kind: Kind,
    stream: Stream,
    offset: int,
    data: bytes,
    tag: bytes,
) -> None:
    """Check a message at the other end of the stream; arguments as of `tag_message`.

    Raises:
        ProtocolError: Message and tag are not what its maker made.
    """
    key = _mac_key(keys, terms, kind, stream, stream[1 - kind.maker])
    check_tag(key, _header(terms, kind, stream, offset), terms.context + data, tag)


def accept_announced(
    keys: KeySource, terms: Terms, client_id: int, offsets: Mapping[Stream, int], tags: list[bytes]
) -> list[Stream]:
    """Set aside, as the receiver, what others announced; return the streams where that is sure.

    Those are the streams whose sender has set aside the same bytes, as its tag shows.
    """
    accepted, sure = accept_offsets(keys, terms, client_id, offsets), list[Stream]()
    for (stream, offset), tag in zip(offsets.items(), tags, strict=True):
        if stream in accepted:
            with suppress(ProtocolError):
                check_message(keys, terms, RESERVE, stream, offset, b"", tag)
                sure.append(stream)
    return sure


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


def _mac_key(keys: KeySource, terms: Terms, kind: Kind, stream: Stream, client_id: int) -> Secret:
    start = kind.place * MAC_KEY_BYTES + kind.after * terms.pad_bytes
    return keys.spend(terms.round_num, client_id, stream, start, MAC_KEY_BYTES)


def _header(terms: Terms, kind: Kind, stream: Stream, offset: int) -> Header:
    ends = (stream[kind.maker], stream[1 - kind.maker])
    return Header(terms.plan.run_id, kind.name, terms.round_num, *ends, offset)


def _xor(data: bytes, pad: Secret) -> bytes:
    return np.bitwise_xor(
        np.frombuffer(data, np.uint8), np.frombuffer(pad.reveal(), np.uint8)
    ).tobytes()
