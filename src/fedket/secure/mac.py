"""One-time message authentication: Poly1305 with a fresh 32-byte key per message.

With a key that is uniform, secret and used once, who does not hold it makes a valid tag for any
other message of L bytes (header included) with probability at most 8*ceil(L/16) / 2^106 per
attempt, whatever the computing power (Bernstein 2005, "The Poly1305-AES message-authentication
code", theorem 3.3, with a one-time pad in place of AES): 2^-90 for 123,412 bytes.

The header says which message this is, so a tag never fits another run, round, sender, receiver or
place. Header and payload are encoded injectively: see `encode`.
"""

import struct
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from fedket.errors import ProtocolError
from fedket.types import Secret

MAC_KEY_BYTES = 32
MAC_KEY_BITS = 8 * MAC_KEY_BYTES
TAG_BYTES = 16


class Header(NamedTuple):
    """Which message of which run a tag is for.

    Attributes:
        run_id: Name of the run.
        action: What kind of message it is.
        round_num: Round.
        sender: Who made the tag; a client or `SERVER`.
        receiver: Whom it is for.
        offset: Which of its messages: where its key begins in the stream from sender to receiver,
            or the reservation that the key is part of.
    """

    run_id: str
    action: str
    round_num: int
    sender: int
    receiver: int
    offset: int


def make_tag(key: Secret, header: Header, payload: bytes) -> bytes:
    """Return the 16-byte tag of a message.

    Args:
        key: 32 bytes of key, used for this one message only.
        header: Which message it is.
        payload: What it says.
    """
    mac = _poly1305()(key.reveal())
    mac.update(encode(*header, len(payload)))
    mac.update(payload)
    tag: bytes = mac.finalize()
    return tag


@lru_cache(maxsize=1)
def _poly1305() -> Any:
    """The class, imported when it is needed: a tag takes as long as looking for it each time."""
    from cryptography.hazmat.primitives.poly1305 import Poly1305

    return Poly1305


def check_tag(key: Secret, header: Header, payload: bytes, tag: bytes) -> None:
    """Check a message against its tag, in constant time.

    Raises:
        ProtocolError: The message is not the one that the holder of the key tagged.
    """
    import hmac

    if not hmac.compare_digest(make_tag(key, header, payload), tag):
        raise ProtocolError(
            f"the {header.action} message from {_party(header.sender)} to "
            f"{_party(header.receiver)} in round {header.round_num} fails its MAC: it was altered, "
            "truncated, replayed or comes from somebody else; it is rejected"
        )


Part = int | str | bytes | tuple[int, ...] | list[int]


def encode(*parts: Part) -> bytes:
    """Write a sequence of values so that no other sequence has the same bytes.

    Every value starts with its kind, and strings, bytes, tuples and lists with their length; a list
    is written as a tuple. Ints take 8 bytes, signed, little-endian.
    """
    return b"".join([_encode_one(part) for part in parts])


def encode_fields(fields: Mapping[str, Any]) -> bytes:
    """Write the fields of a payload in the order of their names."""
    return encode(*(part for name in sorted(fields) for part in (name, fields[name])))


_KIND_AND_NUMBER = struct.Struct("<cq").pack


def _encode_one(part: Part) -> bytes:
    if isinstance(part, int):
        return _KIND_AND_NUMBER(b"i", part)
    if isinstance(part, tuple | list):
        return _KIND_AND_NUMBER(b"t", len(part)) + struct.pack(f"<{len(part)}q", *part)
    kind, data = (b"s", part.encode()) if isinstance(part, str) else (b"b", part)
    return _KIND_AND_NUMBER(kind, len(data)) + data


def _party(party: int) -> str:
    return "the server" if party < 0 else f"client {party}"
