"""The nouns that rooms of the house hand to each other.

Axis order everywhere: clients first, then samples, then features. `weights` are the clients'
shares of the cohort's samples and sum to 1 over the clients of a `RoundContext`.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray

from fedket.key_source import SERVER as SERVER
from fedket.key_source import KeySource as KeySource
from fedket.key_source import KeyWait as KeyWait
from fedket.key_source import PacedKeySource as PacedKeySource
from fedket.key_source import Secret as Secret
from fedket.key_source import Stream as Stream
from fedket.traffic import Traffic

Params = Any
"""A pytree of float arrays: what is trained."""

Contribution = Any
"""A pytree of float arrays whose sum over clients is all the server needs."""

ServerState = Any
"""A pytree of arrays: what a strategy remembers between rounds; it is the checkpoint."""


class Dataset(NamedTuple):
    """Samples with labels, split once into training and test part, perhaps a validation part.

    Attributes:
        name: Short name for records and reports.
        x_train: Features, shape (num_train, ...), float32; stored integers are scaled to [0, 1].
        y_train: Labels 0..num_classes-1, shape (num_train,), int32; or numbers, float32: then the
            task is regression.
        x_test: Features, shape (num_test, ...), float32, scaled likewise.
        y_test: Labels, shape (num_test,), likewise.
        num_classes: Number of classes; 1 for regression.
        groups: Owner of each training sample (for example a subject), shape (num_train,), int64 or
            string, or None.
        measured: What was measured on generated samples: description -> value.
        x_val: Features of samples for validation, shape (num_val, ...), or None for none.
        y_val: Their labels, shape (num_val,), or None.
        class_names: What labels 0, 1, ... stand for; empty if they say it themselves.
        notes: What a reader must know of how the samples were read, a sentence each.
        max_value: What became 1 of stored integers; None for the largest of their dtype.
    """

    name: str
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    num_classes: int
    groups: np.ndarray | None = None
    measured: Mapping[str, float] = MappingProxyType({})
    x_val: np.ndarray | None = None
    y_val: np.ndarray | None = None
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    max_value: float | None = None

    @property
    def regression(self) -> bool:
        """Whether labels are numbers, not classes."""
        return self.y_train.dtype.kind == "f"


class Transform(NamedTuple):
    """What is done to the features of a data set.

    Attributes:
        apply: Data set -> data set, training and test part alike.
        fitted: Whether it depends on all training samples, so that no site can do it alone.
    """

    apply: Callable[[Dataset], Dataset]
    fitted: bool = False


Partition = list[np.ndarray]
"""One int array of training-sample indices per client; every sample belongs to one client."""


@runtime_checkable
class ForeignDevice(Protocol):
    """A device that a model calls from within the compiled program."""

    def finish(self) -> tuple[str, ...]:
        """End a round: ids of its jobs; raises what went wrong in one of its calls."""


class Model(NamedTuple):
    """A trainable function. `rng=None` means evaluation (no dropout, no shot noise).

    Attributes:
        init: rng -> params.
        apply: (params, x of shape (batch, ...), rng=None) -> logits of shape (batch, classes).
        per_sample_vjp: (params, x) -> logits and a function from their cotangent to the gradient
            of each sample by itself, leaves (batch, ...). None if the model has no fast way.
        layered: Tree prefix of the parameters: whether the first axis of a leaf counts layers.
        circuit: The model's `fedket.quantum.Circuit`, to be drawn and counted; None without one.
        noise: Noise model that `apply` computes under; None for none.
        shots: `fedket.quantum.shots.ShotPlan` of what `apply` draws with an `rng`; None for exact
            values.
        evaluate: (params, x, rng) -> logits of evaluation's finite shots; None if `apply` without
            `rng` is what is evaluated.
        at_client: client id -> the model as that client trains it; None if all train the same.
        own_network: Whether that is another network, by which its samples are classified too.
        plain_network: params -> `fedket.models.Network` and its weights, which give the same
            logits without a circuit (`fedket export`); None if there is none.
        runs_on: What runs a circuit that was written elsewhere, in words; empty for fedket's own.
        device: What `apply` calls outside this program; None for nothing.
        metric: (params, x, mask) -> Fubini–Study metric of the angles, the mean over samples whose
            mask is set; None if the parameters are not the angles of a pure state.
        program: params -> a foreign circuit as a `fedket.bridges.program.CircuitProgram` and its
            weights as a vector (`fedket export --to`); None for fedket's own circuits.
    """

    init: Callable[[PRNGKeyArray], Params]
    apply: Callable[..., Float[Array, "batch classes"]]
    per_sample_vjp: Callable[[Params, Array], tuple[Array, Callable[[Array], Params]]] | None = None
    layered: Any = False
    circuit: Any = None
    noise: Any = None
    shots: Any = None
    evaluate: Callable[..., Float[Array, "batch classes"]] | None = None
    at_client: Callable[[Int[Array, ""]], "Model"] | None = None
    own_network: bool = False
    plain_network: Callable[[Params], tuple[Any, Any]] | None = None
    runs_on: str = ""
    device: "ForeignDevice | None" = None
    program: Callable[[Params], tuple[Any, Any]] | None = None
    metric: Callable[[Params, Array, Array], Float[Array, "angles angles"]] | None = None


class ClientResult(NamedTuple):
    """What local training leaves on the client.

    Attributes:
        params: Trained parameters.
        weight: Share of the cohort's samples, sums to 1 over the cohort's survivors.
        measured: What the strategy's `measure` found, or None if it has none.
        steps: Steps that were taken.
        gradient: Mean of the loss's gradients over these steps, each where it was taken; None
            unless `ClientMemory.mean_gradient` asks for it.
        memory: What the client remembered before training; () for nothing.
        extra: What the server sent beside the model, see `Broadcast`.
    """

    params: Params
    weight: Float[Array, ""]
    measured: Params | None = None
    steps: float | Float[Array, ""] = 1.0
    gradient: Params | None = None
    memory: Any = ()
    extra: Any = ()


class Broadcast(NamedTuple):
    """What the server sends to the clients of a round.

    Attributes:
        params: The global model, or what clients share of it.
        extra: What the strategy sends beside it; () for nothing.
    """

    params: Params
    extra: Any = ()


def model_alone(state: ServerState, params: Params) -> Broadcast:  # noqa: ARG001
    """Broadcast of a strategy whose clients need the global model and nothing else."""
    return Broadcast(params)


Retrain = Callable[[Params, Float[Array, ""] | float], Params]
"""(start, μ) -> parameters after local training from there, pulled to the global model by μ."""


class ClientMemory(NamedTuple):
    """What a strategy lets every client keep from one of its rounds to its next.

    A client whose update is not in the sum keeps what it had.

    Attributes:
        init: Parameters -> the memory of a client that was in no round yet.
        update: (broadcast, result of training, how to train once more) -> the new memory.
        correct: (broadcast, memory, parameters, gradient) -> what a local step takes for the
            gradient at these parameters; None leaves it as it is.
        mean_gradient: Whether `ClientResult.gradient` is wanted.
        start: (broadcast, memory) -> where training starts; None for the global model.
        personal: (broadcast, memory) -> the client's own model, which is evaluated on its samples;
            None for the global model.
    """

    init: Callable[[Params], Any]
    update: Callable[[Broadcast, ClientResult, Retrain], Any]
    correct: Callable[[Broadcast, Any, Params, Params], Params] | None = None
    mean_gradient: bool = False
    start: Callable[[Broadcast, Any], Params] | None = None
    personal: Callable[[Broadcast, Any], Params] | None = None


class Bound(NamedTuple):
    """Range of a contribution's values, known to everybody before the round.

    Attributes:
        limit: Largest absolute value; a client's own is `limit` times its weight if `weighted`.
        weighted: Whether the client multiplied its values by its weight.
    """

    limit: float
    weighted: bool = True


def weighted_clip(clip: float) -> Bound:
    """Bound of a weighted update whose coordinates are clipped to ±`clip`."""
    return Bound(clip)


def no_metrics(total: Contribution) -> dict[str, Float[Array, ""]]:  # noqa: ARG001
    """Metrics of a strategy that has none."""
    return {}


class Strategy(NamedTuple):
    """The server sees clients only through the *sum* of their contributions.

    Attributes:
        init: params -> server state.
        contribute: (global params, client result) -> contribution; runs on the client.
        apply: (server state, params, summed contribution) -> (server state, params).
        proximal_mu: Strength of the pull towards the global model during local training; None for
            no pull.
        measure: (model, trained params, x, y, mask, rng) -> a tree shaped like the parameters,
            worked out on the client's own samples after training (padding has mask False); None
            skips it.
        bounds: clip -> tree prefix of the contribution with a `Bound` for each leaf.
        metrics: Summed contribution -> numbers for the round's record, by name.
        broadcast: (server state, global params) -> what clients are sent.
        memory: What clients keep between rounds; None for nothing.
        recall: Server state -> the last round's sum, see `fedket.federated.remembering`; None if it
            is not kept.
        average: Server state -> a mean of the models along its path, evaluated beside the last
            one, see `fedket.federated.averaging`; None for none.
        averages: Whether the next model is the mean of the clients', and nothing more: then
            neighbours can form it without a server.
        own_models: Whether what is broadcast are models of all clients (leading axis clients), of
            which each takes its own.
        at_client: (broadcast, client id, weight) -> what that client was sent, and its weight; None
            if all are sent the same.
    """

    init: Callable[[Params], ServerState]
    contribute: Callable[[Params, ClientResult], Contribution]
    apply: Callable[[ServerState, Params, Contribution], tuple[ServerState, Params]]
    proximal_mu: float | Float[Array, ""] | None = None
    measure: Callable[[Model, Params, Array, Array, Array, PRNGKeyArray], Params] | None = None
    bounds: Callable[[float], Any] = weighted_clip
    metrics: Callable[[Contribution], dict[str, Float[Array, ""]]] = no_metrics
    broadcast: Callable[[ServerState, Params], Broadcast] = model_alone
    memory: ClientMemory | None = None
    recall: Callable[[ServerState], Contribution] | None = None
    average: Callable[[ServerState], Params] | None = None
    averages: bool = False
    own_models: bool = False
    at_client: Callable[..., tuple[Broadcast, Float[Array, ""]]] | None = None


class RoundContext(NamedTuple):
    """What everybody in a round knows.

    Attributes:
        seed: Seed of the experiment.
        round_num: Round number, from 1.
        client_ids: Clients whose contributions are summed, in ascending order.
        weights: Their shares of the samples; positive, sum 1.
        bounds: Clip -> tree prefix of a contribution with a `Bound` for each leaf: the strategy's.
        graph_seed: Public randomness for who shares pads with whom; without, it follows from the
            experiment's seed, as in a simulation.
        last: The last round's sum, zero before the first; None where nobody asks for it.
    """

    seed: int
    round_num: int
    client_ids: tuple[int, ...]
    weights: tuple[float, ...]
    bounds: Callable[[float], Any] = weighted_clip
    graph_seed: bytes = b""
    last: Contribution | None = None


Reducer = Callable[[Contribution, RoundContext], tuple[Contribution, Traffic]]
"""Contributions with leaves (clients, ...) -> their sum with leaves (...), and its cost."""

Labels = Int[Array, " batch"]
