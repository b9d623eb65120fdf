"""What can happen to the bytes of a stream, one function per event.

Each function changes the database within the caller's transaction and returns the ledger's entry
for it. The events are the only edges of the state machine AVAILABLE -> RESERVED -> CONSUMED |
BURNED; none leads back. How far a reservation is used up is known to its process only.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from fedket.errors import KeyExhaustedError, KeyMaterialError, KeyReusedError
from fedket.keys.store.database import StreamMarks, read_marks, write_marks
from fedket.keys.store.ledger import Entry, Event, Use, entry_of
from fedket.types import Stream

MOST_MISSED = 1 << 40
"""Bytes of key that one end may have had beyond those that came to the other, which lost its store:
more than links make in years, and some 4 million times less than offsets there are."""


class Deposited(NamedTuple):
    """A key that lies in a stream at this end, or what is left of it.

    Attributes:
        start: Offset of its first byte.
        end: Offset behind its last byte that is there.
        key_id: Its name, the same at both ends.
    """

    start: int
    end: int
    key_id: str


@dataclass(slots=True, eq=False)
class Reservation:
    """Bytes [start, end) of a stream, set aside for one use, while their process lives.

    Bytes are handed out from low to high; what is skipped over is burned. None of this is written
    before the reservation is settled: if the process dies first, all of it is burned.
    """

    stream: Stream
    start: int
    end: int
    use: Use
    pieces: list[tuple[Event, int, int]] = field(default_factory=list)
    """What was handed out or skipped, as (event, start, length), from low to high."""

    @property
    def next(self) -> int:
        """Offset of the first byte that may still be handed out."""
        return self.pieces[-1][1] + self.pieces[-1][2] if self.pieces else self.start

    def check(self, start: int, num_bytes: int) -> None:
        """Refuse bytes that may not be handed out now.

        Raises:
            KeyReusedError: Some of them were handed out or skipped before.
            KeyExhaustedError: They reach beyond the reservation.
        """
        where = f"{self.use.purpose} of stream {self.stream} for round {self.use.round_num}"
        if start < self.next:
            raise KeyReusedError(
                f"{where} is spent up to byte {self.next}, asked for byte {start}; a pad is used "
                "once: start a new round"
            )
        if start + num_bytes > self.end:
            raise KeyExhaustedError(
                f"{where} ends at byte {self.end}, {start + num_bytes} was asked for; reserve more "
                "in the next round"
            )

    def hand_out(self, start: int, num_bytes: int) -> None:
        """Mark bytes as handed out, and those before them as burned."""
        self.check(start, num_bytes)
        if self.next < start:
            self.pieces.append((Event.BURNED, self.next, start - self.next))
        if self.pieces and self.pieces[-1][0] is Event.CONSUMED:
            _, first, length = self.pieces.pop()
            start, num_bytes = first, length + num_bytes
        self.pieces.append((Event.CONSUMED, start, num_bytes))

    def ended(self) -> list[tuple[Event, int, int]]:
        """All bytes of the reservation: those handed out or skipped, and the rest, burned."""
        rest = (Event.BURNED, self.next, self.end - self.next)
        return [*self.pieces, rest] if self.next < self.end else list(self.pieces)


def holder(live: list[Reservation], stream: Stream, start: int, mark: int) -> Reservation:
    """Find the reservation of a round that holds byte `start`.

    Args:
        live: The live reservations of the round, on the stream.
        stream: The stream.
        start: The byte.
        mark: Below it, every byte was set aside at some time.

    Raises:
        KeyReusedError: It was set aside for another round, or is spent or burned.
        KeyExhaustedError: It lies beyond the round's reservation.
        KeyMaterialError: Nothing is reserved for the round.
    """
    for reservation in live:
        if reservation.start <= start < reservation.end:
            return reservation
    where = f"byte {start} of stream {stream}"
    if start < mark:
        raise KeyReusedError(
            f"{where} is spent, burned or another round's; a pad is used once: start a new round"
        )
    if live:
        raise KeyExhaustedError(
            f"{where} is beyond the round's reservation; reserve more in the next round"
        )
    raise KeyMaterialError(f"{where} is not reserved for this round; reserve first")


def read_deposits(connection: sqlite3.Connection, stream: Stream) -> tuple[Deposited, ...]:
    """Read which keys the available bytes of a stream are of, from low to high."""
    marks = read_marks(connection, stream)
    rows = connection.execute(
        "SELECT start, length, key_id FROM ledger WHERE event = 'deposited' AND sender = ? "
        "AND receiver = ? AND start + length > ? ORDER BY seq",
        (*stream, marks.high_water),
    )
    keys: list[Deposited] = []
    for start, length, key_id in rows:
        _cut(keys, start)  # what a later key lies on was withdrawn before it came
        keys.append(Deposited(start, start + length, key_id))
    _cut(keys, marks.deposited)
    return tuple(keys)


def _cut(keys: list[Deposited], end: int) -> None:
    """Forget what lies behind `end`."""
    while keys and keys[-1].end > end:
        last = keys.pop()
        if last.start < end:
            keys.append(last._replace(end=end))


def deposit(connection: sqlite3.Connection, stream: Stream, length: int, key_id: str) -> Entry:
    """Count bytes that were written to segments."""
    marks = read_marks(connection, stream)
    write_marks(connection, stream, marks._replace(deposited=marks.deposited + length))
    entry = entry_of(Event.DEPOSITED, stream, marks.deposited, length)
    return entry._replace(key_id=key_id)


def withdraw(connection: sqlite3.Connection, stream: Stream, end: int) -> Entry:
    """Forget available bytes from `end` on."""
    marks = read_marks(connection, stream)
    connection.execute(
        "UPDATE segments SET length = ? - start WHERE sender = ? AND receiver = ? "
        "AND start < ? AND start + length > ?",
        (end, *stream, end, end),
    )
    write_marks(connection, stream, marks._replace(deposited=end))
    return entry_of(Event.WITHDRAWN, stream, end, marks.deposited - end)


def reserve(
    connection: sqlite3.Connection, stream: Stream, start: int, length: int, use: Use
) -> Entry:
    """Set aside the available bytes that come next.

    Raises:
        KeyExhaustedError: There are fewer.
    """
    marks = read_marks(connection, stream)
    if length > marks.available:
        raise KeyExhaustedError(
            f"stream {stream} has {marks.available} bytes of key left, {length} were asked for; "
            "deposit more, or lower what a round needs"
        )
    connection.execute(
        "INSERT INTO reserved VALUES (?,?,?,?,?,?,?,?)", (*stream, start, length, *use)
    )
    write_marks(connection, stream, marks._replace(high_water=start + length))
    return entry_of(Event.RESERVED, stream, start, length, use)


def skip(connection: sqlite3.Connection, stream: Stream, end: int) -> Entry:
    """Burn what comes before `end`, also key that never came to this end.

    Raises:
        KeyMaterialError: No use of key leads there.
    """
    marks = read_marks(connection, stream)
    if end > marks.deposited + MOST_MISSED:
        raise KeyMaterialError(
            f"a mark of {end} on stream {stream} is {end - marks.deposited} bytes beyond the key "
            f"that has come, {MOST_MISSED} at most are believed; who says so is mistaken or lies: "
            "ask the other end's operator"
        )
    length = end - marks.high_water
    later = StreamMarks(max(marks.deposited, end), end, marks.consumed, marks.burned + length)
    write_marks(connection, stream, later)
    return entry_of(Event.SKIPPED, stream, marks.high_water, length)


def follow(connection: sqlite3.Connection, stream: Stream, start: int, length: int) -> list[Entry]:
    """Go to where the sender's range begins; returns an entry if bytes had to be skipped.

    Raises:
        KeyReusedError: It begins below this end's mark.
        KeyExhaustedError: It ends beyond the key that came.
    """
    marks = read_marks(connection, stream)
    if start < marks.high_water:
        raise KeyReusedError(
            f"stream {stream} was used up to byte {marks.high_water}, offered from byte {start}; "
            f"exchange marks with party {stream[0]}, its store may be an old copy"
        )
    if start + length > marks.deposited:
        raise KeyExhaustedError(
            f"stream {stream} ends at byte {marks.deposited}, offered up to byte "
            f"{start + length}; wait until the key has come to both ends"
        )
    return [skip(connection, stream, start)] if start > marks.high_water else []


def settle(
    connection: sqlite3.Connection,
    stream: Stream,
    pieces: Iterable[tuple[Event, int, int]],
    use: Use,
) -> list[Entry]:
    """End a reservation: all of its bytes, from low to high, are consumed or burned."""
    settled = list(pieces)
    marks = read_marks(connection, stream)
    consumed = sum(length for event, _, length in settled if event is Event.CONSUMED)
    burned = sum(length for event, _, length in settled if event is Event.BURNED)
    connection.execute(
        "DELETE FROM reserved WHERE sender = ? AND receiver = ? AND start = ?",
        (*stream, settled[0][1]),
    )
    later = marks._replace(consumed=marks.consumed + consumed, burned=marks.burned + burned)
    write_marks(connection, stream, later)
    return [entry_of(event, stream, start, length, use) for event, start, length in settled]


def ended_in(entries: Iterable[Entry]) -> list[Stream]:
    """The streams of which entries say that bytes ceased to count."""
    ending = (Event.CONSUMED, Event.BURNED, Event.SKIPPED, Event.WITHDRAWN)
    return sorted({(e.sender, e.receiver) for e in entries if e.event in ending})


def check_new_round(connection: sqlite3.Connection, stream: Stream, use: Use) -> None:
    """Refuse a round of a run that a stream had before for this purpose, also before a restart.

    Raises:
        KeyReusedError: It had, or a later one.
    """
    (latest,) = connection.execute(
        "SELECT max(round_num) FROM ledger WHERE event = 'reserved' AND sender = ? "
        "AND receiver = ? AND run = ? AND purpose = ?",
        (*stream, use.run, use.purpose),
    ).fetchone()
    if latest is not None and use.round_num <= latest:
        raise KeyReusedError(
            f"stream {stream} already has a {use.purpose} of round {latest} of run `{use.run}`, "
            f"now asked for round {use.round_num}; rounds only go up: start a new round with new "
            "updates, or a new run"
        )


def note_keys(connection: sqlite3.Connection, piece: str, key_ids: Sequence[str]) -> None:
    """Note the keys that a piece is made of, each of which a store is given once.

    Raises:
        KeyReusedError: It was given one of them before, alone or with others, on any link.
    """
    for key_id in key_ids:
        try:
            connection.execute("INSERT INTO keys VALUES (?, ?)", (key_id, piece))
        except sqlite3.IntegrityError:
            raise KeyReusedError(
                f"key `{key_id}` was already deposited in this store and comes again; a key is "
                "deposited once: tell the operator of the key manager, which may have been "
                "restored from an old copy"
            ) from None
