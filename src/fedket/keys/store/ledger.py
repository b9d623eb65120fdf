"""The audit ledger: what happened to which bytes, as an append-only hash chain.

An entry is made in the same transaction as what it records. Its hash is SHA-256 over the canonical
JSON (no spaces, ASCII) of `[previous hash, event, sender, receiver, start, length, purpose, run,
round, mode, key ID]`; the first previous hash is that of the store's own name. Nothing in it
depends on key bytes.

The chain alone shows edits that leave it broken. Its last hash is sealed, together with the marks
of all streams, by an HMAC under the store key, so that nobody without that key can recompute it.
Against an older copy of the whole store only the other end's marks help, see `connect`.
"""

import enum
import hashlib
import hmac
import json
import sqlite3
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import index
from typing import NamedTuple

from fedket.errors import KeyMaterialError
from fedket.keys.store.database import FORMAT, StoreIdentity
from fedket.types import Secret, Stream


class Event(enum.StrEnum):
    """What happened to a range of bytes of a stream."""

    DEPOSITED = "deposited"
    """New key: available from now on."""
    WITHDRAWN = "withdrawn"
    """Available bytes at the stream's end that the other end does not hold; erased."""
    RESERVED = "reserved"
    """Available bytes set aside for one use."""
    CONSUMED = "consumed"
    """Reserved bytes that were handed out."""
    BURNED = "burned"
    """Reserved bytes given up."""
    SKIPPED = "skipped"
    """Bytes burned without a reservation, because the other end is further."""


NAME_LENGTH = 200

MAX_OFFSET = 1 << 62
"""SQLite's integers end below 2**63."""


class KeyPurpose(enum.StrEnum):
    """What reserved bytes are for; no byte serves two purposes."""

    PAD = "pad"
    MAC = "mac"
    SAMPLING = "sampling"


PurposeOf = Callable[[Stream], KeyPurpose]
"""Stream -> what its bytes are for."""


class Mode(enum.StrEnum):
    """How safe the use of the bytes is."""

    INFORMATION_THEORETIC = "information-theoretic"
    """A one-time pad or a one-time MAC."""
    COMPUTATIONAL = "computational"
    """The bytes go into a key derivation, such as the hybrid of the starvation policy."""


class Use(NamedTuple):
    """What a reservation is for.

    Attributes:
        purpose: Pad, MAC or sampling.
        run: Name of the run.
        round_num: Round number, 0 or more.
        mode: How safe the use is.
    """

    purpose: str
    run: str
    round_num: int
    mode: str

    def is_for(self, run: str, round_num: int) -> bool:
        """Whether it belongs to a round of a run."""
        return (self.run, self.round_num) == (run, round_num)


NO_USE = Use("", "", 0, "")
"""Of entries that no run caused."""


def uses_of(
    named: Iterable[Stream],
    purpose: KeyPurpose | PurposeOf,
    run: str,
    round_num: int,
    mode: Mode,
) -> dict[Stream, Use]:
    """What the bytes of streams are for."""
    check_name("run", run)
    number = checked("a round number", index(round_num))
    purposes = {s: purpose if isinstance(purpose, KeyPurpose) else purpose(s) for s in named}
    return {s: Use(what.value, run, number, mode.value) for s, what in purposes.items()}


def check_name(what: str, name: str) -> None:
    """Refuse names that do not fit on a line of the ledger."""
    if not 0 < len(name) <= NAME_LENGTH or not name.isprintable():
        raise KeyMaterialError(
            f"`{what}` has 1 to {NAME_LENGTH} printable characters, got {name[:40]!r} "
            f"({len(name)} characters)"
        )


def checked(what: str, number: int) -> int:
    """Refuse numbers that are no round, offset or length."""
    if not 0 <= number <= MAX_OFFSET:
        raise KeyMaterialError(f"{what} is from 0 to {MAX_OFFSET}, got {number}")
    return number


def piece_name(key_ids: Sequence[str]) -> str:
    """The name of a piece of several keys in their order, the same at both ends."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, " ".join(key_ids)))


class Entry(NamedTuple):
    """One entry of the ledger, without its place in the chain.

    Attributes:
        event: What happened.
        sender: Sender of the stream.
        receiver: Receiver of the stream.
        start: Offset of the first byte in the stream.
        length: Number of bytes.
        purpose: See `Use`; empty if no run caused it.
        run: Likewise.
        round_num: Likewise, 0.
        mode: Likewise.
        key_id: Name of the deposited key, or piece of several; empty for other events.
    """

    event: str
    sender: int
    receiver: int
    start: int
    length: int
    purpose: str = ""
    run: str = ""
    round_num: int = 0
    mode: str = ""
    key_id: str = ""


class Record(NamedTuple):
    """An entry in its place: number from 1, entry, hash (64 hexadecimal digits)."""

    seq: int
    entry: Entry
    hash: str


def entry_of(event: Event, stream: Stream, start: int, length: int, use: Use = NO_USE) -> Entry:
    """Make an entry about bytes [start, start + length) of a stream."""
    purpose, run, round_num, mode = use
    return Entry(event.value, *stream, start, length, purpose, run, round_num, mode)


def genesis(identity: StoreIdentity) -> str:
    """The previous hash of the first entry."""
    return _digest(["fedket pad store", FORMAT, identity.store_id, identity.owner])


def chained(previous: str, entry: Entry) -> str:
    """The hash of an entry that follows the one with hash `previous`."""
    return _digest([previous, *entry])


def append(
    connection: sqlite3.Connection, identity: StoreIdentity, entries: Sequence[Entry]
) -> None:
    """Append entries; part of the caller's transaction."""
    last, previous = head(connection, identity)
    rows = []
    for seq, entry in enumerate(entries, last + 1):
        previous = chained(previous, entry)
        rows.append((seq, *entry, previous))
    connection.executemany("INSERT INTO ledger VALUES (?,?,?,?,?,?,?,?,?,?,?,?)", rows)


def head(connection: sqlite3.Connection, identity: StoreIdentity) -> tuple[int, str]:
    """Number and hash of the last entry; 0 and the genesis hash if there is none."""
    last = connection.execute("SELECT seq, hash FROM ledger ORDER BY seq DESC LIMIT 1").fetchone()
    return last or (0, genesis(identity))


def records(connection: sqlite3.Connection, after: int = 0) -> Iterator[Record]:
    """Read the ledger from entry `after` + 1 on."""
    for row in connection.execute("SELECT * FROM ledger WHERE seq > ? ORDER BY seq", (after,)):
        yield Record(row[0], Entry(*row[1:-1]), row[-1])


def seal(connection: sqlite3.Connection, identity: StoreIdentity, seal_key: Secret) -> None:
    """Seal the ledger's head and the marks as they are now; part of the caller's transaction."""
    made = _seal(connection, identity, seal_key)
    connection.execute("UPDATE store SET seal = ?", (made,))


def is_sealed(connection: sqlite3.Connection, identity: StoreIdentity, seal_key: Secret) -> bool:
    """Whether the seal fits the ledger's head and the marks."""
    (found,) = connection.execute("SELECT seal FROM store").fetchone()
    return hmac.compare_digest(str(found), _seal(connection, identity, seal_key))


def _seal(connection: sqlite3.Connection, identity: StoreIdentity, seal_key: Secret) -> str:
    marks = connection.execute("SELECT * FROM streams ORDER BY sender, receiver").fetchall()
    sealed = [head(connection, identity), marks]
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'checkpoint'").fetchone():
        sealed.append(connection.execute("SELECT * FROM checkpoint").fetchall())
    content = _canonical(sealed)
    return hmac.new(seal_key.reveal(), content, hashlib.sha256).hexdigest()


def _digest(content: object) -> str:
    return hashlib.sha256(_canonical(content)).hexdigest()


def _canonical(content: object) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode("ascii")
