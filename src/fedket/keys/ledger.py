"""Who has had which bytes of which stream: each end gets each byte once, or never.

A stream (sender, receiver) is one direction of a link and has two ends. At an end, bytes go
AVAILABLE -> RESERVED -> CONSUMED | BURNED, never back and from low to high: everything below the
end's position is gone for it. Reservations of an end are for rounds that only go up, so the
ledger keeps one entry per end, however long the run.

This ledger lives in memory: it protects one process from itself. Surviving crashes and roll-back
(RESERVED becomes BURNED after a restart) is the durable pad store's part.
"""

import enum
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from fedket.errors import KeyExhaustedError, KeyMaterialError, KeyReusedError
from fedket.types import Stream


class PadState(enum.Enum):
    """Where a round's reservation stands at one end; BURNED if any byte was given up unspent."""

    AVAILABLE = "available"
    RESERVED = "reserved"
    CONSUMED = "consumed"
    BURNED = "burned"


class PadTotals(NamedTuple):
    """Bytes over all ends (a byte used by both its ends counts twice).

    Attributes:
        reserved: Set aside and still unspent.
        consumed: Handed out.
        burned: Given up unspent, or skipped.
    """

    reserved: int
    consumed: int
    burned: int


@dataclass(slots=True)
class _Entry:
    """The latest reservation of one end: bytes of the stream from `start` to `end`.

    Bytes below `position` are handed out or, `lost` of them, burned.
    """

    round_num: int
    start: int
    end: int
    position: int
    lost: int = 0


class PadLedger:
    """Bookkeeping of streams; holds no key bytes, so it may be printed and logged."""

    def __init__(self) -> None:
        self._entries: dict[tuple[int, Stream], _Entry] = {}
        self._consumed = 0
        self._burned = 0

    def reserve(
        self, round_num: int, client_id: int, lengths: Mapping[Stream, int]
    ) -> dict[Stream, int]:
        """Set aside bytes at the sender's end of streams; returns their offsets.

        Raises:
            KeyReusedError: An end already has a reservation of this round or a later one.
            KeyMaterialError: `client_id` is not the sender, or a length is negative.
        """
        offsets = {stream: self._end(client_id, stream) for stream in lengths}
        for stream, num_bytes in lengths.items():
            self._check_new(round_num, client_id, stream, stream[0], num_bytes)
        for stream, num_bytes in lengths.items():
            self._enter(round_num, client_id, stream, offsets[stream], num_bytes)
        return offsets

    def accept(
        self, round_num: int, client_id: int, ranges: Mapping[Stream, tuple[int, int]]
    ) -> None:
        """Set aside (offset, number of bytes) at the receiver's end; skipped bytes are burned.

        Raises:
            KeyReusedError: An offset is below what this end has had, or the end already has a
                reservation of this round or a later one.
            KeyMaterialError: `client_id` is not the receiver, or a length is negative.
        """
        for stream, (offset, num_bytes) in ranges.items():
            self._check_new(round_num, client_id, stream, stream[1], num_bytes)
            mark = self._end(client_id, stream)
            if offset < mark:
                raise KeyReusedError(
                    f"{_link(client_id, stream)}: key from byte {offset} was announced, bytes "
                    f"below {mark} are already used up at this end; the sender's key store went "
                    "back in time or the message is old: let both ends start from the higher mark"
                )
        for stream, (offset, num_bytes) in ranges.items():
            self._burned += offset - self._end(client_id, stream)
            self._enter(round_num, client_id, stream, offset, num_bytes)

    def spend(
        self, round_num: int, client_id: int, stream: Stream, start: int, num_bytes: int
    ) -> int:
        """Mark bytes [start, start + num_bytes) of a reservation as handed to this end.

        Returns:
            Their offset in the stream.

        Raises:
            KeyReusedError: Some of them were handed out or burned before.
            KeyExhaustedError: They reach beyond what was reserved.
            KeyMaterialError: Nothing is reserved, or no byte is asked for.
        """
        entry = self._entries.get((client_id, stream))
        if entry is None or round_num > entry.round_num or num_bytes < 1:
            raise KeyMaterialError(
                f"{_link(client_id, stream)}: {num_bytes} bytes of round {round_num} were asked "
                "for, nothing of it is reserved; reserve 1 or more bytes first"
            )
        if round_num < entry.round_num or entry.start + start < entry.position:
            raise KeyReusedError(
                f"{_link(client_id, stream)}: byte {start} of round {round_num} is spent or "
                "burned; a pad is used once: start a new round"
            )
        if entry.start + start + num_bytes > entry.end:
            raise KeyExhaustedError(
                f"{_link(client_id, stream)}: round {round_num} has {entry.end - entry.start} "
                f"bytes, {start + num_bytes} were asked for; reserve more in the next round"
            )
        self._lose(entry, entry.start + start)
        entry.position += num_bytes
        self._consumed += num_bytes
        return entry.start + start

    def burn(self, round_num: int, client_id: int, streams: Collection[Stream]) -> None:
        """Give up what is left of this end's reservations of a round; harmless when none is."""
        for stream in streams:
            entry = self._entries.get((client_id, stream))
            if entry is not None and entry.round_num == round_num:
                self._lose(entry, entry.end)

    def state(self, round_num: int, client_id: int, stream: Stream) -> PadState:
        """Return where a round's reservation stands at one end.

        Raises:
            KeyMaterialError: A later round was reserved since, so the entry is gone.
        """
        entry = self._entries.get((client_id, stream))
        if entry is None or round_num > entry.round_num:
            return PadState.AVAILABLE
        if round_num < entry.round_num:
            raise KeyMaterialError(
                f"{_link(client_id, stream)}: round {round_num} is over, the ledger remembers "
                f"round {entry.round_num} only; ask before the next round is reserved"
            )
        if entry.position < entry.end:
            return PadState.RESERVED
        return PadState.BURNED if entry.lost else PadState.CONSUMED

    def position(self, client_id: int, stream: Stream) -> int:
        """Return the first byte of a stream that this end can still get."""
        entry = self._entries.get((client_id, stream))
        return entry.position if entry else 0

    def totals(self) -> PadTotals:
        """Return how many bytes are reserved, consumed and burned so far."""
        reserved = sum(entry.end - entry.position for entry in self._entries.values())
        return PadTotals(reserved, self._consumed, self._burned)

    def _end(self, client_id: int, stream: Stream) -> int:
        """Return the byte from which on nothing was ever reserved at this end."""
        entry = self._entries.get((client_id, stream))
        return entry.end if entry else 0

    def _check_new(
        self, round_num: int, client_id: int, stream: Stream, owner: int, num_bytes: int
    ) -> None:
        if client_id != owner or stream[0] == stream[1] or num_bytes < 0:
            raise KeyMaterialError(
                f"the sender reserves and the receiver accepts 0 or more bytes of a stream between "
                f"two parties; got {_link(client_id, stream)}, {num_bytes} bytes"
            )
        entry = self._entries.get((client_id, stream))
        if entry is not None and round_num <= entry.round_num:
            raise KeyReusedError(
                f"{_link(client_id, stream)}: key of round {entry.round_num} is already reserved, "
                f"now round {round_num} is asked for; rounds only go up, start a new round with "
                "new updates"
            )

    def _enter(
        self, round_num: int, client_id: int, stream: Stream, offset: int, num_bytes: int
    ) -> None:
        entry = self._entries.get((client_id, stream))
        if entry is not None:
            self._lose(entry, entry.end)
        self._entries[client_id, stream] = _Entry(round_num, offset, offset + num_bytes, offset)

    def _lose(self, entry: _Entry, position: int) -> None:
        """Burn what lies below `position`."""
        entry.lost += position - entry.position
        self._burned += position - entry.position
        entry.position = position


def _link(client_id: int, stream: Stream) -> str:
    end = {stream[0]: "sender's", stream[1]: "receiver's"}.get(client_id, "no")
    return f"stream {stream[0]} -> {stream[1]}, {end} end"
