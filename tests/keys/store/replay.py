"""Replaying a ledger: the state machine of the bytes once more, written apart from the store."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from fedket.keys.store import read_ledger, verify
from fedket.keys.store.database import StreamMarks, read_all_marks, read_database
from fedket.keys.store.ledger import Entry, Event, Use
from fedket.types import Stream


@dataclass(slots=True)
class _Bytes:
    """What the entries so far say of one stream."""

    deposited: int = 0
    high_water: int = 0
    consumed: int = 0
    burned: int = 0
    reserved: dict[int, tuple[int, Use]] = field(default_factory=dict)
    """First byte that is still reserved -> (end, what for)."""
    rounds: dict[tuple[str, str], int] = field(default_factory=dict)
    """(run, purpose) -> latest round."""


class Replay:
    """The state that a ledger leads to."""

    def __init__(self) -> None:
        self.entries = 0
        self._streams: defaultdict[Stream, _Bytes] = defaultdict(_Bytes)
        self._keys = set[tuple[int, int, str]]()

    def add(self, entry: Entry) -> Iterator[str]:
        """Take one more entry; says what about it cannot be."""
        self.entries += 1
        stream = (entry.sender, entry.receiver)
        state = self._streams[stream]
        where = f"bytes {entry.start}..{entry.start + entry.length} of stream {stream}"
        if entry.length < 1:
            yield f"{where}: a range has 1 byte or more"
        match entry.event:
            case Event.DEPOSITED:
                yield from self._deposit(entry, state, where)
            case Event.WITHDRAWN:
                yield from _withdraw(entry, state, where)
            case Event.RESERVED:
                yield from _reserve(entry, state, where)
            case Event.SKIPPED:
                yield from _skip(entry, state, where)
            case Event.CONSUMED | Event.BURNED:
                yield from _end(entry, state, where)
            case _:
                yield f"{where}: there is no event `{entry.event}`"

    def differences(
        self, marks: Mapping[Stream, StreamMarks], reserved: Mapping[tuple[int, int, int], int]
    ) -> Iterator[str]:
        """Say where the replayed state differs from the store's."""
        for stream in sorted({*marks, *self._streams}):
            state, stored = self._streams[stream], marks.get(stream, StreamMarks())
            replayed = StreamMarks(state.deposited, state.high_water, state.consumed, state.burned)
            if replayed != stored:
                yield (
                    f"stream {stream}: the ledger leads to {_spelled(replayed)}, the store says "
                    f"{_spelled(stored)}; the ledger was cut short, or one of them edited"
                )
        still = {
            (*stream, start): end - start
            for stream, state in self._streams.items()
            for start, (end, _) in state.reserved.items()
        }
        if still != reserved:
            yield "the ranges that are reserved differ from those of the ledger"

    def _deposit(self, entry: Entry, state: _Bytes, where: str) -> Iterator[str]:
        if entry.start != state.deposited:
            yield f"{where}: key was deposited at {state.deposited}"
        link = (min(entry.sender, entry.receiver), max(entry.sender, entry.receiver))
        if (*link, entry.key_id) in self._keys:
            yield f"{where}: key `{entry.key_id}` was deposited before on this link"
        self._keys.add((*link, entry.key_id))
        state.deposited = entry.start + entry.length


def _withdraw(entry: Entry, state: _Bytes, where: str) -> Iterator[str]:
    if entry.start < state.high_water or entry.start + entry.length != state.deposited:
        yield f"{where}: only available bytes at the end can be withdrawn"
    state.deposited = entry.start


def _reserve(entry: Entry, state: _Bytes, where: str) -> Iterator[str]:
    if entry.start != state.high_water:
        yield f"{where}: overlaps or leaves a gap, byte {state.high_water} was next"
    if entry.start + entry.length > state.deposited:
        yield f"{where}: only {state.deposited} bytes had come"
    latest = state.rounds.get((entry.run, entry.purpose))
    if latest is not None and entry.round_num < latest:
        yield f"{where}: round {entry.round_num} after round {latest} of run `{entry.run}`"
    state.rounds[entry.run, entry.purpose] = entry.round_num
    use = Use(entry.purpose, entry.run, entry.round_num, entry.mode)
    state.reserved[entry.start] = (entry.start + entry.length, use)
    state.high_water = max(state.high_water, entry.start + entry.length)


def _skip(entry: Entry, state: _Bytes, where: str) -> Iterator[str]:
    if entry.start != state.high_water:
        yield f"{where}: skipped, but byte {state.high_water} was next"
    state.high_water = max(state.high_water, entry.start + entry.length)
    state.deposited = max(state.deposited, state.high_water)
    state.burned += entry.length


def _end(entry: Entry, state: _Bytes, where: str) -> Iterator[str]:
    use = Use(entry.purpose, entry.run, entry.round_num, entry.mode)
    end, reserved_for = state.reserved.pop(entry.start, (entry.start, use))
    rest = entry.start + entry.length
    if rest > end or use != reserved_for:
        yield f"{where}: {entry.event}, but not reserved for this use"
    if rest < end:
        state.reserved[rest] = (end, reserved_for)
    if entry.event == Event.CONSUMED:
        state.consumed += entry.length
    else:
        state.burned += entry.length


def _spelled(marks: StreamMarks) -> str:
    return ", ".join(f"{name} {value}" for name, value in marks._asdict().items())


def check_ledger(directory: Path) -> None:
    """The store finds nothing wrong with its ledger, and no more does another state machine."""
    assert verify(directory).findings == ()
    replay, found = Replay(), []
    for record in read_ledger(directory):
        found += replay.add(record.entry)
    with closing(read_database(directory)) as connection:
        rows = connection.execute("SELECT sender, receiver, start, length FROM reserved")
        reserved = {tuple(row[:3]): row[3] for row in rows}
        found += replay.differences(read_all_marks(connection), reserved)
    assert found == []
