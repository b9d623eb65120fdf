"""Key pools of a simulated QKD network: filled at the links' rates, emptied by `enc_keys`.

A pool counts bits; key bytes are drawn from the operating system when they are delivered, and
wait, in memory only, until each slave has fetched them once. Everything is *simulated*: all KMEs
of a network see the same pools, as if the quantum layer had done its work.
"""

import math
import os
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from fedket.keys.etsi014.answers import canonical
from fedket.keys.etsi014.models import KEYS_NOT_FOUND
from fedket.keys.kme.config import KmeConfig
from fedket.keys.material import KeyMaterial

Pair = frozenset[str]
"""The SAEs at the ends of a link; one of them alone for a probe link."""


class RefusedError(Exception):
    """A request that a KME does not follow.

    Attributes:
        status: HTTP status, by the standard 400, 401 or 503.
        message: Why; empty for 401, which has no body.
    """

    def __init__(self, status: int, message: str = "") -> None:
        super().__init__(f"{status} {message}".strip())
        self.status, self.message = status, message


class PoolKey(NamedTuple):
    """A key with the ID under which both ends know it."""

    key_id: str
    secret: KeyMaterial


@dataclass(slots=True)
class _Pool:
    """Bits of one link."""

    rate_bps: float
    capacity_bits: float
    bits: float
    filled_s: float

    def level(self, now_s: float) -> float:
        """Bits in the pool; what is beyond its capacity is gone."""
        filled = self.bits + self.rate_bps * (now_s - self.filled_s)
        self.bits, self.filled_s = min(self.capacity_bits, filled), now_s
        return self.bits


@dataclass(slots=True)
class _Issued:
    """A delivered key, for whom it was made, and who has yet to fetch it."""

    master: str
    secret: KeyMaterial
    slaves: frozenset[str]
    waiting: set[str]


class KeyPools:
    """The pools of all links and the keys that wait for their slaves; for one thread.

    Args:
        config: Limits, KMEs and links.
        clock: Seconds, monotonic.
    """

    def __init__(self, config: KmeConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self.config, self._clock = config, clock
        limits = config.limits
        capacity = float(limits.max_key_count * limits.key_size)
        self._pools = {
            frozenset(link.saes): _Pool(
                link.rate_bps, capacity, float(link.initial_keys * limits.key_size), clock()
            )
            for link in config.link
        }
        self._issued: dict[str, _Issued] = {}
        self._home = {sae: kme.id for kme in config.kme for sae in kme.saes}

    def home_of(self, sae: str) -> str | None:
        """The KME of an SAE."""
        return self._home.get(sae)

    def is_linked(self, master: str, slave: str) -> bool:
        """Whether two SAEs share a pool."""
        return frozenset((master, slave)) in self._pools

    def stored_key_count(self, master: str, slave: str) -> int:
        """Keys of the default size in a pair's pool."""
        return math.floor(self._level(master, slave) / self.config.limits.key_size)

    def deliver(
        self, master: str, slaves: tuple[str, ...], number: int, size_bits: int
    ) -> tuple[PoolKey, ...]:
        """Take keys from the pools of a master with each of its slaves, for all of them alike.

        Raises:
            RefusedError: One of the pools holds too little; nothing is taken.
        """
        needed = number * size_bits
        if any(self._level(master, slave) < needed for slave in slaves):
            raise RefusedError(self.config.limits.shortage_status, "not enough keys are stored")
        for slave in slaves:
            self._pools[frozenset((master, slave))].bits -= needed
        keys = tuple(
            PoolKey(str(uuid.uuid4()), KeyMaterial(os.urandom(size_bits // 8)))
            for _ in range(number)
        )
        for key in keys:
            self._issued[key.key_id] = _Issued(master, key.secret, frozenset(slaves), set(slaves))
        self._bound_memory(master, frozenset(slaves))
        return keys

    def collect(self, master: str, slave: str, key_ids: tuple[str, ...]) -> tuple[PoolKey, ...]:
        """Give a slave its keys, all or none, each once.

        Raises:
            RefusedError: One is not there, or not of this master, or was fetched before (400), or
                was made for other slaves (401).
        """
        names = tuple(canonical(key_id) for key_id in key_ids)
        issued = [self._issued.get(name) for name in names]
        found = [key for key in issued if key is not None and key.master == master]
        if any(slave not in key.slaves for key in found):
            raise RefusedError(401)
        there = [key for key in found if slave in key.waiting]
        if len(there) < len(names) or len(set(names)) < len(names):
            raise RefusedError(400, KEYS_NOT_FOUND)
        for name, key in zip(names, found, strict=True):
            key.waiting.discard(slave)
            if not key.waiting:
                del self._issued[name]
        return tuple(PoolKey(i, key.secret) for i, key in zip(key_ids, found, strict=True))

    def _level(self, master: str, slave: str) -> float:
        return self._pools[frozenset((master, slave))].level(self._clock())

    def _bound_memory(self, master: str, slaves: frozenset[str]) -> None:
        """Throw away their oldest keys that nobody fetches, beyond what one pool may hold."""
        limits = self.config.limits
        theirs = {
            name: 8 * len(key.secret)
            for name, key in self._issued.items()
            if (key.master, key.slaves) == (master, slaves)
        }
        excess = sum(theirs.values()) - limits.max_key_count * limits.key_size
        for name, num_bits in theirs.items():
            if excess <= 0:
                return
            excess -= num_bits
            del self._issued[name]
