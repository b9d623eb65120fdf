"""Taking old entries out of the ledger: into an archive, with a checkpoint in their place.

The ledger is an append-only chain, and a federation of years makes it long. What is taken out is
written to an archive first, entry by entry with its hash: archive and ledger together are the whole
chain. Some old entries stay, because what may happen next depends on them: the keys that available
bytes are of, and the latest round that a stream had per run and purpose, so that none comes twice.
The checkpoint holds the hash that the chain goes on from, where each stream stood then, and a
digest of the old entries that stay; the seal covers it. IDs of keys are never taken out, so that a
key that comes again is refused as ever.
"""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from fedket.errors import KeyMaterialError
from fedket.keys.store.checkpoint import (
    Account,
    Checkpoint,
    digest_of,
    read_checkpoint,
    spelled_out,
)
from fedket.keys.store.database import TABLES
from fedket.keys.store.ledger import Record, records
from fedket.keys.store.session import OpenStore

KEEP = 10_000
"""Latest entries that stay, unless told otherwise."""

NEEDED = """SELECT max(seq) FROM ledger WHERE event = 'reserved'
    GROUP BY sender, receiver, run, purpose
    UNION SELECT ledger.seq FROM ledger JOIN streams USING (sender, receiver)
    WHERE event = 'deposited' AND start + length > high_water"""
"""Numbers of entries on which what may happen next depends."""

GUARD = "ledger_is_not_cut"


def compact(session: OpenStore, archive: Path, keep: int = KEEP) -> int:
    """Move all but the latest entries of an open store's ledger to an archive.

    Args:
        session: The store.
        archive: A new file.
        keep: Entries that stay, 1 or more.

    Returns:
        How many were moved.

    Raises:
        KeyMaterialError: The archive is there already, or cannot be written.
    """
    with session.changing():
        database = session.database
        before = read_checkpoint(database)
        old = list(records(database, before.seq))[: -max(1, keep)]
        if not old:
            return 0
        _write(archive, old)
        last = old[-1]
        accounts = before.accounts()
        for _, entry, _ in old:
            list(accounts.setdefault((entry.sender, entry.receiver), Account()).add(entry))
        needed = {seq for (seq,) in database.execute(NEEDED)}
        (guard,) = (text for text in TABLES if f"TRIGGER {GUARD} " in text)
        database.execute(f"DROP TRIGGER {GUARD}")
        rows = database.execute("SELECT seq FROM ledger WHERE seq <= ?", (last.seq,)).fetchall()
        database.executemany(
            "DELETE FROM ledger WHERE seq = ?", [r for r in rows if r[0] not in needed]
        )
        database.execute(guard)
        Checkpoint(last.seq, last.hash, digest_of(database, last.seq), spelled_out(accounts)).write(
            database
        )
        session.reseal()
    return len(old)


def _write(archive: Path, old: Sequence[Record]) -> None:
    """Write entries, one JSON object per line, durably and for their owner only."""
    lines = (json.dumps({"seq": r.seq, **r.entry._asdict(), "hash": r.hash}) for r in old)
    try:
        handle = os.open(archive, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise KeyMaterialError(f"{archive} is there already; name a new file") from None
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.writelines(f"{line}\n" for line in lines)
        stream.flush()
        os.fsync(stream.fileno())
