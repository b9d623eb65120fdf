"""A memory of the latest keys, so that a KME which delivers one twice is caught.

Only fingerprints are kept, made with a random key of this process: they tell nothing about the
keys. The memory is bounded; repeats from further back or from before a restart are for the pad
store to find by key ID.
"""

import hashlib
import os
from collections import deque
from threading import Lock

from fedket.keys.etsi014.answers import DISTINCT_BITS, DeliveredKey, canonical
from fedket.keys.etsi014.errors import KmeAnswerError

REMEMBERED = 1 << 18
"""Fingerprints kept; a key takes two, one for its ID and one for its bytes."""


class Seen:
    """Fingerprints of the key IDs and keys that came last; for several threads."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._salt, self._lock = os.urandom(32), Lock()
        self._latest: deque[bytes] = deque()
        self._known: set[bytes] = set()
        self._remembered = remembered

    def admit(self, keys: tuple[DeliveredKey, ...], where: str) -> tuple[DeliveredKey, ...]:
        """Return the keys, and remember them.

        Raises:
            KmeAnswerError: One of them, or its ID, came before.
        """
        with self._lock:
            return self._admit(keys, where)

    def _admit(self, keys: tuple[DeliveredKey, ...], where: str) -> tuple[DeliveredKey, ...]:
        marks = [self._mark(b"id", canonical(key.key_id).encode()) for key in keys]
        if not self._known.isdisjoint(marks):
            raise KmeAnswerError(
                f"{where}: a key_ID came that an earlier answer had; none of the answer's keys is "
                "used, tell the KME's operator"
            )
        secrets = [key.secret.reveal() for key in keys]
        marks_of_keys = [self._mark(b"key", s) for s in secrets if len(s) * 8 >= DISTINCT_BITS]
        if not self._known.isdisjoint(marks_of_keys):
            raise KmeAnswerError(
                f"{where}: a key came again under another key_ID; none of the answer's keys is "
                "used, this KME's key generation is broken"
            )
        for mark in (*marks, *marks_of_keys):
            self._remember(mark)
        return keys

    def _mark(self, kind: bytes, content: bytes) -> bytes:
        return hashlib.blake2b(content, digest_size=16, key=self._salt, person=kind).digest()

    def _remember(self, mark: bytes) -> None:
        self._latest.append(mark)
        self._known.add(mark)
        if len(self._latest) > self._remembered:
            self._known.discard(self._latest.popleft())
