"""A tag for every message of a round between two parties, each under a key of its own."""

from collections.abc import Mapping
from typing import NamedTuple

from fedket.secure.mac import MAC_KEY_BYTES, Header, check_tag, encode_fields, make_tag
from fedket.secure.phases import Payload, octets
from fedket.secure.protocol import Party
from fedket.types import Secret, Stream


class Slot(NamedTuple):
    """Which message of a round it is.

    Attributes:
        round_num: Round.
        message: Number of the message in the round, from 0; requests and answers count alike.
        action: What it is about.
        starts: Where the round's MAC keys begin in each stream.
    """

    round_num: int
    message: int
    action: str
    starts: Mapping[Stream, int]


def tag(party: Party, slot: Slot, stream: Stream, payload: Payload) -> bytes:
    """Return the tag of a message from the sender of a stream to its receiver.

    Raises:
        KeyMaterialError: The sender's key for it is missing or spent.
    """
    return make_tag(*_key(party, slot, stream, stream[0]), encode_fields(payload))


def check(party: Party, slot: Slot, stream: Stream, payload: Payload) -> None:
    """Check a message, with its tag in the field `tag`, at the receiver's end of a stream.

    Raises:
        ProtocolError: It is not the message that the sender tagged.
        KeyMaterialError: The receiver's key for it is missing or spent.
    """
    said = {name: value for name, value in payload.items() if name != "tag"}
    check_tag(*_key(party, slot, stream, stream[1]), encode_fields(said), octets(payload, "tag"))


def _key(party: Party, slot: Slot, stream: Stream, end: int) -> tuple[Secret, Header]:
    """Return a message's one-time key at one end of its stream, and what the tag is for."""
    start = slot.message * MAC_KEY_BYTES
    key = party.keys.spend(slot.round_num, end, stream, start, MAC_KEY_BYTES)
    place = slot.starts[stream] + start
    return key, Header(party.run_id, slot.action, slot.round_num, *stream, place)
