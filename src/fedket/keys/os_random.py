"""Key streams from the operating system's generator, for all parties in one process.

For simulation and tests of the protocol: both ends of every link live in this process, so nothing
is distributed. Bytes are drawn when the first end spends them and dropped as soon as the second
end has them, so memory holds only what one end is ahead of the other. Not safe for several threads.
"""

import os
from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import NamedTuple

from fedket.errors import KeyMaterialError
from fedket.keys.ledger import PadLedger
from fedket.keys.material import KeyMaterial
from fedket.types import Stream


class _Waiting(NamedTuple):
    """Bytes that one end has had and the other, `client_id`, has not."""

    client_id: int
    material: KeyMaterial


class OsRandomSource:
    """`fedket.types.KeySource` over `os.urandom`; every hand-out goes through `ledger`."""

    def __init__(self) -> None:
        self.ledger = PadLedger()
        self._drawn: defaultdict[Stream, int] = defaultdict(int)
        """The byte of a stream from which on nothing was ever drawn."""
        self._waiting: defaultdict[Stream, dict[int, _Waiting]] = defaultdict(dict)
        """Offset in the stream -> bytes that wait for their second end."""

    def reserve(
        self, round_num: int, client_id: int, lengths: Mapping[Stream, int]
    ) -> dict[Stream, int]:
        """Set aside bytes on streams that `client_id` sends on; see `KeySource`."""
        offsets = self.ledger.reserve(round_num, client_id, lengths)
        self._drop(client_id, lengths)
        return offsets

    def accept(
        self, round_num: int, client_id: int, ranges: Mapping[Stream, tuple[int, int]]
    ) -> None:
        """Set aside the announced bytes on streams that `client_id` receives on."""
        self.ledger.accept(round_num, client_id, ranges)
        self._drop(client_id, ranges)

    def spend(
        self, round_num: int, client_id: int, stream: Stream, start: int, num_bytes: int
    ) -> KeyMaterial:
        """Hand this end bytes [start, start + num_bytes) of the round's reservation.

        Raises:
            KeyReusedError: This end had some of these bytes before, or burned them.
            KeyExhaustedError: They reach beyond what was reserved.
            KeyMaterialError: Nothing is reserved, or the other end cut the stream elsewhere.
        """
        offset = self.ledger.spend(round_num, client_id, stream, start, num_bytes)
        if offset >= self._drawn[stream]:
            return self._draw(client_id, stream, offset, num_bytes)
        waiting = self._waiting[stream].pop(offset, None)
        if waiting is None or len(waiting.material) != num_bytes:
            raise KeyMaterialError(
                f"stream {stream[0]} -> {stream[1]}: party {client_id} asks for {num_bytes} bytes "
                f"at offset {offset}, the other end cut the stream elsewhere; both ends must "
                "reserve the same bytes and cut them alike"
            )
        return waiting.material

    def burn(self, round_num: int, client_id: int, streams: Collection[Stream]) -> None:
        """Give up what is left of this end's reservations of the round; harmless when none is."""
        self.ledger.burn(round_num, client_id, streams)
        self._drop(client_id, streams)

    def _draw(self, client_id: int, stream: Stream, offset: int, num_bytes: int) -> KeyMaterial:
        """Draw bytes nobody has had, and keep them for the other end unless it has gone past."""
        material = KeyMaterial(os.urandom(num_bytes))
        self._drawn[stream] = offset + num_bytes
        other = stream[0] + stream[1] - client_id
        if self.ledger.position(other, stream) <= offset:
            self._waiting[stream][offset] = _Waiting(other, material)
        return material

    def _drop(self, client_id: int, streams: Collection[Stream]) -> None:
        """Drop the bytes that wait for this end below its position."""
        for stream in streams:
            position = self.ledger.position(client_id, stream)
            self._waiting[stream] = {
                offset: waiting
                for offset, waiting in self._waiting[stream].items()
                if waiting.client_id != client_id or offset >= position
            }
