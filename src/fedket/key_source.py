"""Key material and where it comes from, as everybody who spends it sees it."""

from collections.abc import Collection, Mapping
from typing import NamedTuple, Protocol, runtime_checkable


@runtime_checkable
class Secret(Protocol):
    """Key material that shows itself only when asked; `repr` and logs see its length at most."""

    def reveal(self) -> bytes:
        """Return the bytes; whoever calls this must not store, log or send them."""


SERVER = -1
"""The server as a party of a link; clients are 0 and up."""

Stream = tuple[int, int]
"""(sender, receiver): one direction of the link between two parties, a client or `SERVER`."""


@runtime_checkable
class KeySource(Protocol):
    """Directed streams of one-time key, each byte given to each end at most once.

    A link joins two parties and is two streams. Only the sender's end allocates offsets of a
    stream; the receiver follows what the sender announced and never goes back. `client_id` is the
    end that asks (`SERVER` for the server); one source may serve one party or all of them.
    Rounds of an end only go up. Asking again for bytes raises `KeyReusedError`, asking for more
    than there is `KeyExhaustedError`, anything else out of order `KeyMaterialError`. A method that
    raises has changed nothing, or has burned what it names, but never gives bytes back.
    """

    def reserve(
        self, round_num: int, client_id: int, lengths: Mapping[Stream, int]
    ) -> dict[Stream, int]:
        """Set aside bytes on streams that `client_id` sends on, durably, in one transaction.

        What was left of earlier rounds on these streams is burned.

        Args:
            round_num: Round number; goes up on every stream.
            client_id: The sender of all these streams.
            lengths: Bytes to set aside on each.

        Returns:
            The offset of each reservation in its stream, for the receiver.

        Raises:
            KeyReusedError: A stream already has a reservation of this round or a later one.
            KeyExhaustedError: A stream has less key left; nothing is reserved on any.
            KeyMaterialError: `client_id` is not the sender, or a length is negative.
        """

    def accept(
        self, round_num: int, client_id: int, ranges: Mapping[Stream, tuple[int, int]]
    ) -> None:
        """Set aside (offset, number of bytes) on streams that `client_id` receives on.

        As the senders announced them; bytes skipped over, and what was left of earlier rounds, are
        burned at this end. All streams or, when it raises, none.

        Raises:
            KeyReusedError: An offset is below the high-water mark of its stream, or a stream
                already has a range of this round or a later one.
            KeyExhaustedError: A stream does not reach that far.
            KeyMaterialError: `client_id` is not the receiver, or a number is negative.
        """

    def spend(
        self, round_num: int, client_id: int, stream: Stream, start: int, num_bytes: int
    ) -> Secret:
        """Hand this end bytes [start, start + num_bytes) of the round's reservation on a stream.

        From low to high: bytes skipped over are burned at this end.

        Raises:
            KeyReusedError: Some of them were handed out or burned before.
            KeyExhaustedError: They reach beyond the reservation.
            KeyMaterialError: Nothing is reserved, or no byte is asked for.
        """

    def burn(self, round_num: int, client_id: int, streams: Collection[Stream]) -> None:
        """Give up what is left of this end's reservations of the round; harmless when none is."""


class KeyWait(NamedTuple):
    """How long until a demand for key is met.

    Attributes:
        seconds: Waiting time on the source's clock; inf if the key never comes.
        link: The tight link, the last to be ready; None if nobody waits.
    """

    seconds: float
    link: tuple[int, int] | None


@runtime_checkable
class PacedKeySource(KeySource, Protocol):
    """A key source that fills up while time passes, and can say how far it is."""

    def waiting_time(self, lengths: Mapping[Stream, int]) -> KeyWait:
        """Return how long it probably takes until all these bytes can be reserved."""

    def waited_s(self) -> float:
        """Return the time that reservations have waited so far."""

    def levels(self) -> dict[tuple[int, int], int]:
        """Return the key bits in store of every link, the smaller party first."""

    def problem(self) -> str:
        """Return why key does not come, in words; empty if nothing is known to be wrong."""

    def advance(self, seconds: float) -> None:
        """Let time pass while clients train; a source on the wall clock does nothing."""
