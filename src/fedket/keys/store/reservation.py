"""A reservation while its process lives: which of its bytes were handed out.

Bytes are handed out from low to high; what is skipped over is burned. None of this is written
before the reservation is settled: if the process dies first, all of it is burned.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from fedket.errors import KeyExhaustedError, KeyMaterialError, KeyReusedError
from fedket.keys.store.audit import Event, Use
from fedket.types import Stream


@dataclass(slots=True, eq=False)
class Reservation:
    """Bytes [start, start + length) of a stream, set aside for one use.

    Attributes:
        stream: The stream.
        start: Offset of the first byte.
        length: Number of bytes, 1 or more.
        use: What they are for.
    """

    stream: Stream
    start: int
    length: int
    use: Use
    _handed_out: list[tuple[int, int]] = field(default_factory=list)
    """Ranges [start, end), ascending and not touching."""

    @property
    def end(self) -> int:
        """Offset behind the last byte."""
        return self.start + self.length

    @property
    def next(self) -> int:
        """Offset of the first byte that may still be handed out."""
        return self._handed_out[-1][1] if self._handed_out else self.start

    def check(self, start: int, num_bytes: int) -> None:
        """Refuse bytes that may not be handed out now.

        Raises:
            KeyReusedError: Some of them were handed out or skipped before.
            KeyExhaustedError: They reach beyond the reservation.
        """
        where = f"{self.use.purpose} of stream {self.stream} for round {self.use.round_num}"
        if start < self.next:
            raise KeyReusedError(
                f"{where} is spent up to byte {self.next}, asked for byte {start}; a pad is used "
                "once: start a new round"
            )
        if start + num_bytes > self.end:
            raise KeyExhaustedError(
                f"{where} ends at byte {self.end}, {start + num_bytes} was asked for; reserve more "
                "in the next round"
            )

    def hand_out(self, start: int, num_bytes: int) -> None:
        """Mark bytes as handed out; raises as `check` does."""
        self.check(start, num_bytes)
        end = start + num_bytes
        if self._handed_out and start == self.next:
            start, _ = self._handed_out.pop()
        self._handed_out.append((start, end))

    def pieces(self) -> list[tuple[Event, int, int]]:
        """All bytes of the reservation as (consumed or burned, start, length), from low to high."""
        found, at = list[tuple[Event, int, int]](), self.start
        for start, end in self._handed_out:
            if at < start:
                found.append((Event.BURNED, at, start - at))
            found.append((Event.CONSUMED, start, end - start))
            at = end
        if at < self.end:
            found.append((Event.BURNED, at, self.end - at))
        return found


def holder(live: Iterable[Reservation], stream: Stream, start: int, mark: int) -> Reservation:
    """Find the reservation that holds byte `start`.

    Args:
        live: The live reservations of the round, on the stream.
        stream: The stream.
        start: The byte.
        mark: Below it, every byte was set aside at some time.

    Raises:
        KeyReusedError: It was set aside for another round, or is spent or burned.
        KeyExhaustedError: It lies beyond the round's reservation.
        KeyMaterialError: Nothing is reserved for the round.
    """
    held = list(live)
    for reservation in held:
        if reservation.start <= start < reservation.end:
            return reservation
    where = f"byte {start} of stream {stream}"
    if start < mark:
        raise KeyReusedError(
            f"{where} is spent, burned or another round's; a pad is used once: start a new round"
        )
    if held:
        raise KeyExhaustedError(
            f"{where} is beyond the round's reservation; reserve more in the next round"
        )
    raise KeyMaterialError(f"{where} is not reserved for this round; reserve first")
