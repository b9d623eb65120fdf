"""Small stores for tests; their key is a function of its name, so hand-outs can be checked."""

import hashlib
import os
from pathlib import Path

from fedket.keys.material import KeyMaterial
from fedket.keys.store import KeyPurpose, PadStore

THERE, BACK = (0, 1), (1, 0)
"""The two streams of the link between clients 0 and 1."""


def key(name: str, num_bytes: int) -> KeyMaterial:
    """Test key; never do this outside tests."""
    return KeyMaterial(hashlib.shake_128(name.encode()).digest(num_bytes))


def filled(directory: Path, owner: int, num_bytes: int = 1000, streams=(THERE, BACK), **options):
    """An open store whose streams hold one key each, the same at both ends of a link."""
    store = PadStore.open(directory, owner, **options)
    for stream in streams:
        store.deposit(stream, f"first of {stream}", key(f"first of {stream}", num_bytes))
    return store


def pair(directory: Path, num_bytes: int = 1000):
    """The stores of clients 0 and 1."""
    return [filled(directory / str(owner), owner, num_bytes) for owner in (0, 1)]


def exchange(sender: PadStore, receiver: PadStore, num_bytes: int, round_num: int, run: str = "r"):
    """Set aside bytes of one stream at both ends; returns the offset."""
    stream = (sender.owner, receiver.owner)
    start = sender.reserve({stream: num_bytes}, KeyPurpose.PAD, run, round_num)[stream]
    receiver.accept({stream: (start, num_bytes)}, KeyPurpose.PAD, run, round_num)
    return start


def abandon(store: PadStore) -> None:
    """What the end of a process does to its store: nothing is written any more."""
    store._session.close_parts()
    os.close(store._session._lock)
