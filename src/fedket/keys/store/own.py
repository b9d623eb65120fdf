"""Whose streams these are: a store holds the ends of one party's links and nobody else's.

A stream is (sender, receiver); its sender allocates offsets, its receiver follows.
"""

from collections.abc import Iterable, Mapping
from operator import index

from fedket.errors import KeyMaterialError
from fedket.keys.store.ledger import checked
from fedket.types import SERVER, Stream


def own_stream(owner: int, stream: Stream) -> Stream:
    """Return a stream in Python's integers; SQLite would store numpy's as blobs.

    Raises:
        KeyMaterialError: It is of another party's link.
    """
    sender, receiver = index(stream[0]), index(stream[1])
    parties = (sender, receiver)
    if sender == receiver or min(parties) < SERVER or owner not in parties:
        raise KeyMaterialError(
            f"the store of party {owner} has no stream {parties}; its streams go from or "
            "to it, between clients (0 and up) or the server (-1)"
        )
    return parties


def own_numbers(owner: int, values: Mapping[Stream, int], what: str) -> dict[Stream, int]:
    """Return a number for each of a party's streams.

    Raises:
        KeyMaterialError: A stream is not its own, or a number is out of range.
    """
    return {own_stream(owner, s): checked(what, index(value)) for s, value in values.items()}


def check_sent(owner: int, streams: Iterable[Stream]) -> None:
    """Refuse streams that a party does not send on, and so does not allocate.

    Raises:
        KeyMaterialError: One is.
    """
    for stream in streams:
        if stream[0] != owner:
            raise KeyMaterialError(
                f"party {owner} cannot reserve on stream {stream}: its sender allocates "
                "it; accept what the sender announces"
            )


def check_received(owner: int, streams: Iterable[Stream]) -> None:
    """Refuse streams that a party sends on.

    Raises:
        KeyMaterialError: One is.
    """
    for stream in streams:
        if stream[1] != owner:
            raise KeyMaterialError(
                f"party {owner} cannot accept on stream {stream}, which it sends on; "
                "reserve instead"
            )
