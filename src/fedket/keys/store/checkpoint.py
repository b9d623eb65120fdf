"""Where each stream stood when old entries were taken out of the ledger, and what stayed."""

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from fedket.keys.store.database import StreamMarks
from fedket.keys.store.ledger import Entry, Event
from fedket.types import Stream

TABLE = """CREATE TABLE IF NOT EXISTS checkpoint (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    seq INTEGER NOT NULL,
    hash TEXT NOT NULL,
    kept TEXT NOT NULL,
    streams TEXT NOT NULL)"""


class Checkpoint(NamedTuple):
    """What the ledger goes on from.

    Attributes:
        seq: Number of the last entry that was taken out.
        hash: Its hash; empty if none was.
        kept: Digest of the entries up to there that stay.
        streams: Where each stream stood there, as JSON.
    """

    seq: int = 0
    hash: str = ""
    kept: str = ""
    streams: str = "[]"

    def accounts(self) -> "dict[Stream, Account]":
        """Stream -> where it stood."""
        return {
            (sender, receiver): Account(d, h, c, b, [(start, end) for start, end in ended])
            for sender, receiver, (d, h, c, b), ended in json.loads(self.streams)
        }

    def write(self, connection: sqlite3.Connection) -> None:
        """Put it in the place of an earlier one; part of the caller's transaction."""
        connection.execute(TABLE)
        connection.execute("INSERT OR REPLACE INTO checkpoint VALUES (1, ?, ?, ?, ?)", self)


def read_checkpoint(connection: sqlite3.Connection) -> Checkpoint:
    """Read the checkpoint; an empty one if no entry was ever taken out."""
    there = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'checkpoint'").fetchone()
    row = there and connection.execute("SELECT seq, hash, kept, streams FROM checkpoint").fetchone()
    return Checkpoint(*row) if row else Checkpoint()


def digest_of(connection: sqlite3.Connection, seq: int) -> str:
    """SHA-256 of the entries up to a number that are there; empty for number 0."""
    if not seq:
        return ""
    rows = connection.execute("SELECT * FROM ledger WHERE seq <= ? ORDER BY seq", (seq,)).fetchall()
    return hashlib.sha256(json.dumps(rows).encode("ascii")).hexdigest()


def spelled_out(accounts: "Mapping[Stream, Account]") -> str:
    """Accounts as the JSON of a checkpoint; ranges that touch are one."""
    return json.dumps(
        [
            [*stream, [a.deposited, a.high_water, a.consumed, a.burned], _merged(a.ended)]
            for stream, a in sorted(accounts.items())
        ]
    )


def _merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    merged: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if merged and merged[-1][1] == start:
            merged[-1] = (merged[-1][0], end)
        else:
            merged.append((start, end))
    return merged


@dataclass(slots=True)
class Account:
    """Where the entries say that one stream stands.

    Attributes:
        deposited: End of the key that has come.
        high_water: End of what was set aside or skipped.
        consumed: Bytes handed out.
        burned: Bytes given up or skipped.
        ended: Ranges that were consumed, burned, skipped, or still are reserved.
    """

    deposited: int = 0
    high_water: int = 0
    consumed: int = 0
    burned: int = 0
    ended: list[tuple[int, int]] = field(default_factory=list)

    def add(self, entry: Entry) -> Iterator[str]:
        """Take one more entry; says what about it cannot be."""
        start, end = entry.start, entry.start + entry.length
        match entry.event:
            case Event.DEPOSITED | Event.WITHDRAWN:
                self.deposited = end if entry.event == Event.DEPOSITED else start
            case Event.RESERVED | Event.SKIPPED:
                if start != self.high_water:
                    yield (
                        f"bytes {start}..{end} overlap what was set aside before, or leave a gap: "
                        f"byte {self.high_water} was next"
                    )
                self.high_water = end
        if entry.event in (Event.CONSUMED, Event.BURNED, Event.SKIPPED):
            self.ended.append((start, end))
            if entry.event == Event.CONSUMED:
                self.consumed += entry.length
            else:
                self.burned += entry.length
        if entry.event == Event.SKIPPED:
            self.deposited = max(self.deposited, end)

    def differences(self, stored: StreamMarks) -> Iterator[str]:
        """Say where this differs from the store's marks, and which bytes are in no one state."""
        told = StreamMarks(self.deposited, self.high_water, self.consumed, self.burned)
        if told != stored:
            yield (
                f"the ledger leads to {_spelled(told)}, the store says {_spelled(stored)}; the "
                "ledger was cut short, or one of them edited"
            )
        at = 0
        for start, end in sorted(self.ended):
            if start != at:
                yield f"bytes {min(start, at)}..{max(start, at)} ended twice or never"
            at = max(at, end)
        if at != self.high_water:
            yield f"bytes up to {self.high_water} were set aside, and up to {at} accounted for"


def _spelled(marks: StreamMarks) -> str:
    return ", ".join(f"{name} {value}" for name, value in marks._asdict().items())
