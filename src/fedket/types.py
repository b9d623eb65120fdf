"""The nouns that rooms of the house hand to each other.

Axis order everywhere: clients first, then samples, then features. `weights` are the clients'
shares of the cohort's samples and sum to 1 over the clients of a `RoundContext`.
"""

from collections.abc import Callable
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


class Traffic(NamedTuple):
    """What one aggregation cost, summed over all clients and pairs.

    Attributes:
        upload_bytes: Bytes of contributions as sent to the server.
        key_bits: Key bits spent (each pair's pad counts once).
    """

    upload_bytes: int
    key_bits: int


Reducer = Callable[[Contribution, RoundContext], tuple[Contribution, Traffic]]
"""Contributions with leaves (clients, ...) -> their sum with leaves (...), and its cost."""

Labels = Int[Array, " batch"]


@runtime_checkable
class Secret(Protocol):
    """Key material that shows itself only when asked; `repr` and logs see its length at most."""

    def reveal(self) -> bytes:
        """Return the bytes; whoever calls this must not store, log or send them."""
        ...


@runtime_checkable
class KeySource(Protocol):
    """One-time pads shared by pairs of clients, each byte given to each end at most once.

    A pad is named by its unordered pair of clients and its round; `client_id` is the end that
    asks. Rounds of a pair only go up. Asking again for bytes raises `KeyReusedError`, asking for
    more than was reserved `KeyExhaustedError`, anything else out of order `KeyMaterialError`.
    """

    def reserve(
        self, round_num: int, client_id: int, peer_ids: tuple[int, ...], num_bytes: int
    ) -> None:
        """Set aside `num_bytes` with each peer; what was left of earlier rounds is burned."""
        ...

    def spend(
        self, round_num: int, client_id: int, peer_id: int, offset: int, num_bytes: int
    ) -> Secret:
        """Hand this end the next `num_bytes` of a reserved pad, starting at byte `offset`."""
        ...

    def burn(self, round_num: int, client_id: int, peer_ids: tuple[int, ...]) -> None:
        """Give up this end's unspent bytes of the round for good; harmless when there are none."""
        ...
