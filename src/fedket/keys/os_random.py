"""Pads from the operating system's generator, for all pairs of clients in one process.

For simulation and tests of the protocol: both ends live in this process, so nothing is
distributed. Bytes are drawn when the first end spends them and dropped as soon as the second end
has them, so memory holds only what one end is ahead of the other. Not safe for several threads.
"""

import os
from dataclasses import dataclass, field

from fedket.errors import KeyMaterialError
from fedket.keys.ledger import PadLedger, PadState
from fedket.keys.material import KeyMaterial


@dataclass(slots=True)
class _Link:
    """A pair's current round: bytes below `drawn` exist, some wait for the end that is behind."""

    round_num: int
    num_bytes: int
    drawn: int = 0
    waiting: dict[int, tuple[int, KeyMaterial]] = field(default_factory=dict)
    """Byte offset -> (the client it waits for, the bytes)."""


class OsRandomSource:
    """`fedket.types.KeySource` over `os.urandom`; every hand-out goes through `ledger`."""

    def __init__(self) -> None:
        self.ledger = PadLedger()
        self._links: dict[tuple[int, int], _Link] = {}

    def reserve(
        self, round_num: int, client_id: int, peer_ids: tuple[int, ...], num_bytes: int
    ) -> None:
        """Set aside `num_bytes` with each peer; what was left of earlier rounds is burned.

        Raises:
            KeyReusedError: This end already reserved this round or a later one.
            KeyMaterialError: The two ends ask for different lengths, or the peer is rounds ahead.
        """
        for peer_id in peer_ids:
            self.ledger.reserve(round_num, client_id, peer_id, num_bytes)
            pair = _pair(client_id, peer_id)
            link = self._links.get(pair)
            if link is None or link.round_num < round_num:
                self._links[pair] = _Link(round_num, num_bytes)
            elif (link.round_num, link.num_bytes) != (round_num, num_bytes):
                raise KeyMaterialError(
                    f"client {peer_id} reserved {link.num_bytes} bytes for round {link.round_num} "
                    f"with client {client_id}, which reserves {num_bytes} for round {round_num}; "
                    "both ends must reserve the same"
                )

    def spend(
        self, round_num: int, client_id: int, peer_id: int, offset: int, num_bytes: int
    ) -> KeyMaterial:
        """Hand this end the next `num_bytes` of a reserved pad, starting at byte `offset`.

        Raises:
            KeyReusedError: This end had some of these bytes before, or burned them.
            KeyExhaustedError: They reach beyond what was reserved.
            KeyMaterialError: Nothing is reserved, bytes would be skipped, the ends cut the pad
                differently, or the peer has gone on to a later round and the bytes are dropped.
        """
        self.ledger.spend(round_num, client_id, peer_id, offset, num_bytes)
        link = self._links[_pair(client_id, peer_id)]
        if link.round_num != round_num:
            raise KeyMaterialError(
                f"client {peer_id} is in round {link.round_num}: its pad with client {client_id} "
                f"for round {round_num} is gone; start a new round"
            )
        if offset == link.drawn:
            material = KeyMaterial(os.urandom(num_bytes))
            link.drawn += num_bytes
            if self.ledger.state(round_num, peer_id, client_id) is not PadState.BURNED:
                link.waiting[offset] = (peer_id, material)
            return material
        _, material = link.waiting.pop(offset, (client_id, KeyMaterial(b"")))
        if len(material) != num_bytes:
            raise KeyMaterialError(
                f"client {client_id} asks for {num_bytes} bytes at byte {offset} of its pad with "
                f"client {peer_id}, which cut the pad elsewhere; cut it alike at both ends"
            )
        return material

    def burn(self, round_num: int, client_id: int, peer_ids: tuple[int, ...]) -> None:
        """Give up this end's unspent bytes of the round for good; harmless when there are none."""
        for peer_id in peer_ids:
            self.ledger.burn(round_num, client_id, peer_id)
            link = self._links.get(_pair(client_id, peer_id))
            if link is not None and link.round_num == round_num:
                link.waiting = {o: w for o, w in link.waiting.items() if w[0] != client_id}


def _pair(client_id: int, peer_id: int) -> tuple[int, int]:
    """Return the unordered pair as an ordered tuple."""
    return (client_id, peer_id) if client_id < peer_id else (peer_id, client_id)
