"""The nouns that rooms of the house hand to each other.

Axis order everywhere: clients first, then samples, then features. `weights` are the clients'
shares of the cohort's samples and sum to 1 over the clients of a `RoundContext`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

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
        x_train: Features, shape (num_train, ...), float32 or uint8 as stored.
        y_train: Labels 0..num_classes-1, shape (num_train,), int32.
        x_test: Features, shape (num_test, ...).
        y_test: Labels, shape (num_test,), int32.
        num_classes: Number of classes.
        groups: Owner of each training sample (for example a subject), shape (num_train,), or None.
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
