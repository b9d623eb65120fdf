"""The nouns that rooms of the house hand to each other.

Axis order everywhere: clients first, then samples, then features. `weights` are the clients'
shares of the cohort's samples and sum to 1 over the clients of a `RoundContext`.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

Params = Any
"""A pytree of float arrays: what is trained."""

Contribution = Any
"""A pytree of float arrays whose sum over clients is all the server needs."""

ServerState = Any
"""A pytree of arrays: what a strategy remembers between rounds; it is the checkpoint."""


class Dataset(NamedTuple):
    """Samples with labels, split once into training and test part.

    Attributes:
        name: Short name for records and reports.
        x_train: Features, shape (num_train, ...), float32; stored integers are scaled to [0, 1].
        y_train: Labels 0..num_classes-1, shape (num_train,), int32.
        x_test: Features, shape (num_test, ...), float32, scaled likewise.
        y_test: Labels, shape (num_test,), int32.
        num_classes: Number of classes.
        groups: Owner of each training sample (for example a subject), shape (num_train,), int64 or
            string, or None.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    num_classes: int
    groups: np.ndarray | None = None


Partition = list[np.ndarray]
"""One int array of training-sample indices per client; every sample belongs to one client."""


class Model(NamedTuple):
    """A trainable function. `rng=None` means evaluation (no dropout, no shot noise).

    Attributes:
        init: rng -> params.
        apply: (params, x of shape (batch, ...), rng=None) -> logits of shape (batch, classes).
    """

    init: Callable[[PRNGKeyArray], Params]
    apply: Callable[..., Float[Array, "batch classes"]]


class ClientResult(NamedTuple):
    """What local training leaves on the client.

    Attributes:
        params: Trained parameters.
        weight: Share of the cohort's samples, sums to 1 over the cohort's survivors.
    """

    params: Params
    weight: Float[Array, ""]


class Strategy(NamedTuple):
    """The server sees clients only through the *sum* of their contributions.

    Attributes:
        init: params -> server state.
        contribute: (global params, client result) -> contribution; runs on the client.
        apply: (server state, params, summed contribution) -> (server state, params).
        proximal_mu: Strength of the pull towards the global model during local training.
    """

    init: Callable[[Params], ServerState]
    contribute: Callable[[Params, ClientResult], Contribution]
    apply: Callable[[ServerState, Params, Contribution], tuple[ServerState, Params]]
    proximal_mu: float = 0.0


class RoundContext(NamedTuple):
    """What everybody in a round knows.

    Attributes:
        seed: Seed of the experiment.
        round_num: Round number, from 1.
        client_ids: Clients whose contributions are summed, in ascending order.
        weights: Their shares of the samples; positive, sum 1.
    """

    seed: int
    round_num: int
    client_ids: tuple[int, ...]
    weights: tuple[float, ...]


class PhaseCost(NamedTuple):
    """What one phase of an aggregation cost, summed over all clients; repeats are added up.

    Attributes:
        name: Action of the phase, for example `upload`.
        upload_bytes: Payload bytes from clients to the server, without transport framing.
        download_bytes: Payload bytes from the server to clients, likewise.
        pad_bits: Key bits set aside as one-time pads, each link's bytes counted once.
        mac_bits: Key bits set aside as one-time MAC keys, likewise.
        seconds: Wall time until all answers were in and processed.
    """

    name: str
    upload_bytes: int
    download_bytes: int
    pad_bits: int
    mac_bits: int
    seconds: float


class Traffic(NamedTuple):
    """What one aggregation cost, summed over all clients and pairs.

    Attributes:
        upload_bytes: Bytes that clients sent to the server, in all phases.
        key_bits: Key bits used up, pads and MAC keys (each link's bytes count once).
        num_clipped: Coordinates of updates beyond the clip, over all clients.
        phases: The same by phase, in order; empty where nothing was exchanged in phases.
    """

    upload_bytes: int
    key_bits: int
    num_clipped: int = 0
    phases: tuple[PhaseCost, ...] = ()


Reducer = Callable[[Contribution, RoundContext], tuple[Contribution, Traffic]]
"""Contributions with leaves (clients, ...) -> their sum with leaves (...), and its cost."""

Labels = Int[Array, " batch"]


@runtime_checkable
class Secret(Protocol):
    """Key material that shows itself only when asked; `repr` and logs see its length at most."""

    def reveal(self) -> bytes:
        """Return the bytes; whoever calls this must not store, log or send them."""
        ...


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
        ...

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
        ...

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
        ...

    def burn(self, round_num: int, client_id: int, streams: Collection[Stream]) -> None:
        """Give up what is left of this end's reservations of the round; harmless when none is."""
        ...
