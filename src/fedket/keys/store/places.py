"""Where the bytes of streams lie: the database's rows about segments."""

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from fedket.errors import KeyMaterialError
from fedket.keys.store.segments import FILE_BYTES, SEGMENT_BYTES, TAG_BYTES, Place, Segment
from fedket.keys.store.streams import read_marks
from fedket.types import Stream


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
