"""Who has had which pad bytes: each end of a link gets each byte once, or never.

A link joins two clients and has two ends; an end is (client, peer). At an end the bytes of one
round's pad go AVAILABLE -> RESERVED -> CONSUMED | BURNED, never back, and from byte 0 upwards.
Rounds of an end only go up, so the ledger keeps one entry per end, however long the run.

First version: the ledger lives in memory. It protects one process from itself; surviving crashes
and roll-back (RESERVED becomes BURNED after a restart) comes with the durable pad store.
"""

import enum
from dataclasses import dataclass
from typing import NamedTuple

from fedket.errors import KeyExhaustedError, KeyMaterialError, KeyReusedError


class PadState(enum.Enum):
    """Where a pad stands at one end; a pad partly consumed and then burned is BURNED."""

    AVAILABLE = "available"
    RESERVED = "reserved"
    CONSUMED = "consumed"
    BURNED = "burned"


class PadTotals(NamedTuple):
    """Bytes over all ends (a pad used by both its ends counts twice).

    Attributes:
        reserved: Set aside and still unspent.
        consumed: Handed out.
        burned: Given up unspent.
    """

    reserved: int
    consumed: int
    burned: int


@dataclass(slots=True)
class _Entry:
    """The latest round of one end: bytes below `spent` are handed out, the rest still reserved."""

    round_num: int
    num_bytes: int
    spent: int = 0
    burned: bool = False


class PadLedger:
    """Bookkeeping of pads; holds no key bytes, so it may be printed and logged."""

    def __init__(self) -> None:
        self._entries: dict[tuple[int, int], _Entry] = {}
        self._consumed = 0
        self._burned = 0

    def reserve(self, round_num: int, client_id: int, peer_id: int, num_bytes: int) -> None:
        """Set aside a pad at one end; what is left of this end's earlier rounds is burned.

        Raises:
            KeyReusedError: This end already reserved this round or a later one.
            KeyMaterialError: A client with itself, or a negative length.
        """
        if client_id == peer_id or num_bytes < 0:
            raise KeyMaterialError(
                f"a pad joins two clients and has 0 or more bytes; got clients {client_id} and "
                f"{peer_id}, {num_bytes} bytes"
            )
        entry = self._entries.get((client_id, peer_id))
        if entry is not None:
            if round_num <= entry.round_num:
                raise KeyReusedError(
                    f"client {client_id} already reserved its pad with client {peer_id} for round "
                    f"{entry.round_num}, now asks for round {round_num}; rounds only go up, start "
                    "a new round with new updates"
                )
            self._burn(entry)
        self._entries[client_id, peer_id] = _Entry(round_num, num_bytes)

    def spend(
        self, round_num: int, client_id: int, peer_id: int, offset: int, num_bytes: int
    ) -> None:
        """Mark bytes [offset, offset + num_bytes) of a reserved pad as handed to this end.

        Raises:
            KeyReusedError: Some of them were handed out or burned before.
            KeyExhaustedError: They reach beyond what was reserved.
            KeyMaterialError: Nothing is reserved, or bytes would be skipped.
        """
        pad = f"pad of clients {client_id} and {peer_id} for round {round_num}"
        entry = self._entries.get((client_id, peer_id))
        if entry is None or round_num > entry.round_num:
            raise KeyMaterialError(f"{pad} was never reserved by client {client_id}; reserve first")
        if round_num < entry.round_num or entry.burned or offset < entry.spent:
            raise KeyReusedError(
                f"{pad} is spent or burned at byte {offset} for client {client_id}; "
                "a pad is used once: start a new round"
            )
        if offset > entry.spent or num_bytes < 1:
            raise KeyMaterialError(
                f"{pad} is spent in order: byte {entry.spent} is next, bytes "
                f"{offset}..{offset + num_bytes} were asked for"
            )
        if offset + num_bytes > entry.num_bytes:
            raise KeyExhaustedError(
                f"{pad} has {entry.num_bytes} bytes, {offset + num_bytes} were asked for; "
                "reserve more in the next round"
            )
        entry.spent += num_bytes
        self._consumed += num_bytes

    def burn(self, round_num: int, client_id: int, peer_id: int) -> None:
        """Give up this end's unspent bytes of a round; harmless when there are none."""
        entry = self._entries.get((client_id, peer_id))
        if entry is not None and entry.round_num == round_num:
            self._burn(entry)

    def state(self, round_num: int, client_id: int, peer_id: int) -> PadState:
        """Return where a pad stands at one end.

        Raises:
            KeyMaterialError: A later round was reserved since, so the entry is gone.
        """
        entry = self._entries.get((client_id, peer_id))
        if entry is None or round_num > entry.round_num:
            return PadState.AVAILABLE
        if round_num < entry.round_num:
            raise KeyMaterialError(
                f"round {round_num} is over for clients {client_id} and {peer_id}: the ledger "
                f"remembers round {entry.round_num} only; ask before the next round is reserved"
            )
        if entry.burned:
            return PadState.BURNED
        return PadState.CONSUMED if entry.spent == entry.num_bytes else PadState.RESERVED

    def totals(self) -> PadTotals:
        """Return how many bytes are reserved, consumed and burned so far."""
        reserved = sum(e.num_bytes - e.spent for e in self._entries.values() if not e.burned)
        return PadTotals(reserved, self._consumed, self._burned)

    def _burn(self, entry: _Entry) -> None:
        if not entry.burned and entry.spent < entry.num_bytes:
            entry.burned = True
            self._burned += entry.num_bytes - entry.spent
