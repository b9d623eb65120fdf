"""Key streams for all parties in one process: both ends get the same bytes, each once or never.

For simulation and tests of protocols: nothing is distributed. Bytes are drawn when the first end
needs them and dropped as soon as both ends have gone past them, so memory holds only what one end
is ahead of the other. Not safe for several threads.
"""

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping

from fedket.errors import KeyMaterialError
from fedket.keys.ledger import PadLedger
from fedket.keys.material import KeyMaterial
from fedket.types import Stream

Draw = Callable[[Stream, int], KeyMaterial]
"""(stream, number of bytes) -> that many bytes that nobody has had."""


class KeyStream:
    """Bytes [start, end) of a stream, hidden; grows at the end, is forgotten from the start."""

    __slots__ = ("__held", "start")

    def __init__(self) -> None:
        self.start = 0
        self.__held = bytearray()

    @property
    def end(self) -> int:
        """The offset that the next appended byte gets."""
        return self.start + len(self.__held)

    def __len__(self) -> int:
        return len(self.__held)

    def __repr__(self) -> str:
        return f"KeyStream(bytes {self.start} to {self.end}, hidden)"

    def append(self, material: KeyMaterial) -> None:
        """Add key at the end."""
        self.__held += material.reveal()

    def read(self, offset: int, num_bytes: int) -> KeyMaterial:
        """Return bytes [offset, offset + num_bytes) and keep them.

        Raises:
            KeyMaterialError: Some of them are forgotten or not there yet.
        """
        if offset < self.start or offset + num_bytes > self.end or num_bytes < 0:
            raise KeyMaterialError(
                f"a key stream holds bytes {self.start} to {self.end}, bytes {offset} to "
                f"{offset + num_bytes} were asked for"
            )
        first = offset - self.start
        return KeyMaterial(bytes(self.__held[first : first + num_bytes]))

    def forget(self, offset: int) -> None:
        """Drop everything below an offset; bytes up to it that never came are skipped."""
        if offset > self.start:
            del self.__held[: offset - self.start]
            self.start = offset

    def take(self, num_bytes: int) -> KeyMaterial:
        """Return the first bytes and drop them.

        Raises:
            KeyMaterialError: There are not that many.
        """
        material = self.read(self.start, num_bytes)
        self.forget(self.start + num_bytes)
        return material


class StreamSource:
    """`fedket.types.KeySource` over what `draw` gives; every hand-out goes through `ledger`."""

    def __init__(self, draw: Draw) -> None:
        self.ledger = PadLedger()
        self._draw = draw
        self._streams: defaultdict[Stream, KeyStream] = defaultdict(KeyStream)

    def reserve(
        self, round_num: int, client_id: int, lengths: Mapping[Stream, int]
    ) -> dict[Stream, int]:
        """Set aside bytes on streams that `client_id` sends on; see `KeySource`."""
        offsets = self.ledger.reserve(round_num, client_id, lengths)
        self._forget(lengths)
        return offsets

    def accept(
        self, round_num: int, client_id: int, ranges: Mapping[Stream, tuple[int, int]]
    ) -> None:
        """Set aside the announced bytes on streams that `client_id` receives on."""
        self.ledger.accept(round_num, client_id, ranges)
        self._forget(ranges)

    def spend(
        self, round_num: int, client_id: int, stream: Stream, start: int, num_bytes: int
    ) -> KeyMaterial:
        """Hand this end bytes [start, start + num_bytes) of the round's reservation.

        Raises:
            KeyReusedError: This end had some of these bytes before, or burned them.
            KeyExhaustedError: They reach beyond what was reserved.
            KeyMaterialError: Nothing is reserved.
        """
        offset = self.ledger.spend(round_num, client_id, stream, start, num_bytes)
        self._draw_until(stream, offset + num_bytes)
        material = self._streams[stream].read(offset, num_bytes)
        self._forget((stream,))
        return material

    def burn(self, round_num: int, client_id: int, streams: Collection[Stream]) -> None:
        """Give up what is left of this end's reservations of the round; harmless when none is."""
        self.ledger.burn(round_num, client_id, streams)
        self._forget(streams)

    def _draw_until(self, stream: Stream, end: int) -> None:
        held = self._streams[stream]
        if held.end < end:
            held.append(self._draw(stream, end - held.end))

    def _forget(self, streams: Collection[Stream]) -> None:
        """Drop the bytes that both ends have gone past."""
        position = self.ledger.position
        for stream in streams:
            one, other = stream
            self._streams[stream].forget(min(position(one, stream), position(other, stream)))
