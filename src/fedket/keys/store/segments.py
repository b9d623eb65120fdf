"""Key bytes on the disk: sealed segments in append-only files, and their keys in a file apart.

A segment is at most 64 KiB of one stream, sealed once by AES-256-GCM under a key of its own (so a
constant nonce is safe), and read alone: nothing larger is ever in memory. Files hold segments of
one stream and are removed when all of these are used up.

Which segments count is the database's to say: `next_place`, `covering` and `drop_segments` read
and write its rows about them.

Segment keys are wrapped by the store key and lie in numbered 64-byte slots of `segment.keys`. To
erase a segment its slot is overwritten in place with zeros and synced; what remains of the segment
is noise. What that is worth depends on the medium. On a plain file system and a magnetic disk the
old key is gone. SSDs and copying file systems (btrfs, ZFS, APFS, snapshots, backups) may keep an
older version of the block until they reuse it. Such a left-over still is wrapped by the store key:
who has both, can read pads that were used. Keep the store key off that disk where this matters.
"""

import os
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain, count, groupby
from pathlib import Path
from typing import NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fedket.errors import KeyMaterialError
from fedket.keys.material import KeyMaterial
from fedket.keys.store.database import StoreIdentity, read_marks
from fedket.keys.store.disk import Disk
from fedket.types import SERVER, Stream

SEGMENT_BYTES = 1 << 16
"""Pad bytes under one key: so much that was used stays readable until the rest is used, too."""

FILE_BYTES = 1 << 22
"""A file that has reached this gets no more segments."""

OUR_NAME = re.compile(r"[0-9]{8,}\.pads")
"""Of a file of segments, see `_path`."""

FILES_NAME, KEYS_NAME = "segments", "segment.keys"
SLOT_BYTES, TAG_BYTES, NONCE_BYTES, KEY_BYTES = 64, 16, 12, 32
WRAPPED_BYTES = NONCE_BYTES + KEY_BYTES + TAG_BYTES
ONLY_NONCE = bytes(NONCE_BYTES)
"""Of a segment: its key seals nothing else."""


class Segment(NamedTuple):
    """Where some bytes of a stream lie.

    Attributes:
        slot: Number of its key's slot.
        sender: Sender of the stream.
        receiver: Receiver of the stream.
        start: Offset of its first byte in the stream.
        length: Bytes that count; fewer than `sealed` if its end was withdrawn.
        sealed: Bytes it was sealed with.
        file: Number of its file.
        position: Offset of its ciphertext in the file.
    """

    slot: int
    sender: int
    receiver: int
    start: int
    length: int
    sealed: int
    file: int
    position: int


class Place(NamedTuple):
    """Where the next segment of a stream goes.

    Attributes:
        file: Number of the stream's last file.
        position: End of its last segment; `FILE_BYTES` if there is no such file.
        next_file: Number that no file has had.
    """

    file: int
    position: int
    next_file: int


def plan(
    stream: Stream, start: int, num_bytes: int, place: Place, slots: Iterator[int]
) -> list[Segment]:
    """Cut bytes that come at offset `start` of a stream into segments."""
    file, position, next_file = place
    segments = []
    for offset in range(start, start + num_bytes, SEGMENT_BYTES):
        if position >= FILE_BYTES:
            file, position, next_file = next_file, 0, next_file + 1
        length = min(SEGMENT_BYTES, start + num_bytes - offset)
        segments.append(Segment(next(slots), *stream, offset, length, length, file, position))
        position += length + TAG_BYTES
    return segments


class SegmentFiles:
    """The segments and their keys; which of them count is the database's to say."""

    def __init__(
        self, directory: Path, identity: StoreIdentity, wrap_key: KeyMaterial, disk: Disk
    ) -> None:
        self._store, self._owner = directory, identity.owner
        self._directory = directory / FILES_NAME
        if self._directory.is_symlink():
            raise KeyMaterialError(
                f"{self._directory} is a symbolic link; a pad store keeps its key in its own "
                "directory: put the folder back"
            )
        self._directory.mkdir(mode=0o700, exist_ok=True)
        self._store_id, self._disk = identity.store_id, disk
        self._wrap = AESGCM(wrap_key.reveal())
        self._keys = os.open(directory / KEYS_NAME, os.O_RDWR | os.O_CREAT, 0o600)
        self._free: set[int] = set()
        self._top = 0
        disk.sync_directory(directory)

    def close(self) -> None:
        """Close the file of keys."""
        os.close(self._keys)

    def slots(self) -> Iterator[int]:
        """Numbers of unused slots, without taking them."""
        return chain(sorted(self._free), count(self._top))

    def write(self, segments: Sequence[Segment], secret: bytes) -> None:
        """Seal bytes into planned segments, durably; they count when the database says so."""
        first = segments[0].start
        wrapped = []
        for number, group in groupby(segments, key=lambda segment: segment.file):
            with self._file(number, os.O_WRONLY | os.O_CREAT) as handle:
                for segment in group:
                    key = AESGCM.generate_key(8 * KEY_BYTES)
                    start = segment.start - first
                    plain = memoryview(secret)[start : start + segment.length]
                    sealed = AESGCM(key).encrypt(ONLY_NONCE, plain, self._name(segment))
                    self._disk.write(handle, sealed, segment.position, "segment")
                    wrapped.append(self._wrapped(segment, key))
                self._disk.sync(handle, "segment")
        self._disk.sync_directory(self._directory)
        for segment, slot in zip(segments, wrapped, strict=True):
            self._disk.write(self._keys, slot, segment.slot * SLOT_BYTES, "segment key")
        self._disk.sync(self._keys, "segment key")

    def claim(self, segments: Iterable[Segment]) -> None:
        """Take the slots of segments that now count."""
        for segment in segments:
            self._free.discard(segment.slot)
            self._top = max(self._top, segment.slot + 1)

    def read(self, segment: Segment) -> bytes:
        """Return the bytes of a segment that count.

        Raises:
            KeyMaterialError: It is damaged or missing, or its key is.
            OSError: It cannot be read.
        """
        slot = os.pread(self._keys, WRAPPED_BYTES, segment.slot * SLOT_BYTES)
        name = self._name(segment)
        try:
            with self._file(segment.file, os.O_RDONLY) as handle:
                sealed = os.pread(handle, segment.sealed + TAG_BYTES, segment.position)
            nonce, rest = slot[:NONCE_BYTES], slot[NONCE_BYTES:]
            key = self._wrap.decrypt(nonce, rest, name + b" %d" % segment.slot)
            return AESGCM(key).decrypt(ONLY_NONCE, sealed, name)[: segment.length]
        except (InvalidTag, ValueError, FileNotFoundError):
            raise KeyMaterialError(
                f"bytes {segment.start}..{segment.start + segment.length} of stream "
                f"{(segment.sender, segment.receiver)} are damaged or missing "
                f"({self._path(segment.file)}); stop this party, check the disk, run `fedket keys "
                f"reset {self._store} {self._peer_of(segment)}`, start it again: the link goes on "
                "with new key"
            ) from None

    def _peer_of(self, segment: Segment) -> str:
        peer = segment.receiver if segment.sender == self._owner else segment.sender
        return "server" if peer == SERVER else str(peer)

    def erase(self, segments: Sequence[Segment], files: Iterable[int]) -> None:
        """Destroy the keys of segments that count no more, and remove files of none that does."""
        for segment in segments:
            self._zero(segment.slot)
        if segments:
            self._disk.sync(self._keys, "erased key")
        for number in files:
            self._disk.remove(self._path(number), "file")
        self._free.update(segment.slot for segment in segments)

    def sweep(self, known: Iterable[Segment]) -> None:
        """Erase what the database does not know: what a crash or a full disk left behind.

        Files that the store cannot have named are somebody else's and stay.
        """
        used, ends = set(), dict[int, int]()
        for segment in known:
            used.add(segment.slot)
            end = segment.position + segment.sealed + TAG_BYTES
            ends[segment.file] = max(end, ends.get(segment.file, 0))
        self._sweep_keys(used)
        for path in self._directory.iterdir():
            if not OUR_NAME.fullmatch(path.name) or not path.is_file():
                continue
            number = int(path.stem)
            if number not in ends:
                self._disk.remove(path, "file")
            elif path.stat().st_size > ends[number]:
                os.truncate(path, ends[number])

    def _sweep_keys(self, used: set[int]) -> None:
        """Zero the slots of unknown segments, and learn which slots are free."""
        content = os.pread(self._keys, os.fstat(self._keys).st_size, 0)
        unknown = set(range(-(-len(content) // SLOT_BYTES))) - used
        left = [s for s in unknown if any(content[s * SLOT_BYTES : (s + 1) * SLOT_BYTES])]
        for slot in left:
            self._zero(slot)
        if left:
            self._disk.sync(self._keys, "erased key")
        self._top = max(used, default=-1) + 1
        self._free = set(range(self._top)) - used

    def _zero(self, slot: int) -> None:
        self._disk.write(self._keys, bytes(SLOT_BYTES), slot * SLOT_BYTES, "erased key")

    def _wrapped(self, segment: Segment, key: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        name = self._name(segment) + b" %d" % segment.slot
        return nonce + self._wrap.encrypt(nonce, key, name)

    def _name(self, segment: Segment) -> bytes:
        """What a segment and its key are bound to, so that none can stand for another."""
        where = (segment.sender, segment.receiver, segment.start, segment.sealed)
        return " ".join(map(str, (self._store_id, *where))).encode()

    def _path(self, number: int) -> Path:
        return self._directory / f"{number:08d}.pads"

    @contextmanager
    def _file(self, number: int, flags: int) -> Iterator[int]:
        handle = os.open(self._path(number), flags, 0o600)
        try:
            yield handle
        finally:
            os.close(handle)


def add_segments(connection: sqlite3.Connection, segments: Sequence[Segment]) -> None:
    """Let written segments count."""
    connection.executemany("INSERT INTO segments VALUES (?,?,?,?,?,?,?,?)", segments)
    next_file = max(segment.file for segment in segments) + 1
    connection.execute("UPDATE store SET next_file = max(next_file, ?)", (next_file,))


class Finished(NamedTuple):
    """Segments that hold no byte that counts, and files that hold no other segments."""

    segments: tuple[Segment, ...]
    files: tuple[int, ...]


def next_place(connection: sqlite3.Connection, stream: Stream) -> Place:
    """Where the next segment of a stream goes."""
    (next_file,) = connection.execute("SELECT next_file FROM store").fetchone()
    last = connection.execute(
        "SELECT file, position + sealed FROM segments WHERE sender = ? AND receiver = ? "
        "ORDER BY start DESC LIMIT 1",
        stream,
    ).fetchone()
    return (
        Place(last[0], last[1] + TAG_BYTES, next_file) if last else Place(0, FILE_BYTES, next_file)
    )


def covering(connection: sqlite3.Connection, stream: Stream, start: int, end: int) -> list[Segment]:
    """The segments that hold bytes [start, end) of a stream, in order.

    Raises:
        KeyMaterialError: Some bytes are in none.
    """
    rows = connection.execute(
        "SELECT * FROM segments WHERE sender = ? AND receiver = ? AND start > ? AND start < ? "
        "AND start + length > ? ORDER BY start",
        (*stream, start - SEGMENT_BYTES, end, start),
    )
    segments = [Segment(*row) for row in rows]
    at = start
    for segment in segments:
        if segment.start <= at:
            at = segment.start + segment.length
    if at < end:
        raise KeyMaterialError(f"bytes {start}..{end} of stream {stream} never came to this end")
    return segments


def drop_segments(connection: sqlite3.Connection, streams: Iterable[Stream]) -> Finished:
    """Remove segments from the database of which every byte is consumed, burned or withdrawn."""
    dropped = list[Segment]()
    for stream in streams:
        floor, end = _floor(connection, stream), read_marks(connection, stream).deposited
        rows = connection.execute(
            "SELECT * FROM segments WHERE sender = ?1 AND receiver = ?2 AND start < ?3 "
            "AND start + length <= ?3 UNION ALL "
            "SELECT * FROM segments WHERE sender = ?1 AND receiver = ?2 AND start >= ?4",
            (*stream, floor, end),
        )
        dropped += [Segment(*row) for row in rows]
    connection.executemany("DELETE FROM segments WHERE slot = ?", [(s.slot,) for s in dropped])
    unused = {
        segment.file
        for segment in dropped
        if not connection.execute(
            "SELECT 1 FROM segments WHERE file = ? LIMIT 1", (segment.file,)
        ).fetchone()
    }
    return Finished(tuple(dropped), tuple(sorted(unused)))


def _floor(connection: sqlite3.Connection, stream: Stream) -> int:
    """Offset below which every byte is consumed or burned."""
    (first,) = connection.execute(
        "SELECT min(start) FROM reserved WHERE sender = ? AND receiver = ?", stream
    ).fetchone()
    return read_marks(connection, stream).high_water if first is None else int(first)
