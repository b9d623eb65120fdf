"""Hybrid transfer learning (Chen and Yoo, arXiv:2103.12010): classical head, then a small circuit.

The backbone before it is frozen: its features are worked out once (`fedket.models.backbones`) and
are this model's input. Parameters are `{"head": ..., "circuit": ...}`, so that an optimiser can
treat the two differently.
"""

from collections.abc import Callable
from functools import partial
from typing import Annotated, Literal, NamedTuple

import jax
from jaxtyping import Array, Float, PRNGKeyArray
from pydantic import Field

from fedket.errors import ConfigError
from fedket.models.circuit_keys import CircuitKeys, Qubits
from fedket.models.network import init_weights, plan_dense, run_network
from fedket.models.vqc import Encoding, Readout, vqc
from fedket.quantum.circuit import Circuit
from fedket.quantum.encoding import ROTATIONS
from fedket.quantum.noise import NoiseModel
from fedket.quantum.shots import TWO_TERMS, ShotPlan, Shots
from fedket.schema import PositiveFloat, PositiveInt
from fedket.section import Context, FunctionOf, NamedFunction, named_function
from fedket.types import Model, Params


def hybrid(
    num_features: int,
    circuit: Circuit,
    num_classes: int,
    *,
    hidden: tuple[int, ...] = (),
    dropout: float = 0.5,
    encoding: Encoding = "arctan",
    readout: Readout = "z",
    logit_scale: float = 1.0,
    init_std: float = 0.01,
    noise: NoiseModel | None = None,
    shots: Shots | None = None,
) -> Model:
    """A head from features to one number per qubit, and a circuit from these to logits.

    With 25,088 features, hidden layers of 4,096 and 4,096 units and the 4-qubit, 2-layer circuit
    these are the paper's 119,562,268 parameters; without hidden layers the head is one linear map.

    Args:
        num_features: Features per sample after flattening.
        circuit: The trainable circuit; its number of qubits is the head's output.
        num_classes: Number of logits.
        hidden: Width of each hidden layer, followed by ReLU and dropout.
        dropout: Share of hidden units set to 0 in training, the others divided by 1 − dropout;
            in [0, 1).
        encoding: How the head's numbers enter the circuit: `arctan` or `angle`.
        readout: As of `vqc`.
        logit_scale: As of `vqc`; 1 is the paper's.
        init_std: Angles start at N(0, init_std²), radians.
        noise: As of `vqc`.
        shots: As of `vqc`; gradient rules shift the encoding's rotations as well, for the head.

    Raises:
        ConfigError: The encoding does not take one number per qubit, or the read-out has fewer
            values than classes.
    """
    if encoding not in ROTATIONS:
        raise ConfigError(
            'the head gives one number per qubit; use model.encoding = "arctan" or "angle"'
        )
    quantum = vqc(
        circuit,
        num_classes,
        encoding=encoding,
        readout=readout,
        logit_scale=logit_scale,
        init_std=init_std,
        noise=noise,
        shots=shots,
        of_head=True,
    )
    widths = (num_features, *hidden, circuit.num_qubits)
    network = plan_dense(widths, ("relu", f"dropout {dropout}"))
    head = Head(partial(init_weights, network), partial(run_network, network))
    return with_head(head, quantum, encoding)


class Head(NamedTuple):
    """What turns features into one number per qubit.

    Attributes:
        init: rng -> its parameters.
        apply: (parameters, x of shape (batch, ...), rng) -> numbers of shape (batch, num_qubits).
    """

    init: Callable[[PRNGKeyArray], Params]
    apply: Callable[[Params, Array, PRNGKeyArray | None], Float[Array, "batch qubits"]]


def with_head(head: Head, quantum: Model, encoding: Encoding) -> Model:
    """A head, and a `vqc` of that encoding on its numbers, trained together.

    Parameters are `{"head": ..., "circuit": ...}`.
    """
    circuit: Circuit = quantum.circuit
    exact = quantum.noise is None and quantum.shots is None

    def init(rng: PRNGKeyArray) -> Params:
        head_rng, circuit_rng = jax.random.split(rng)
        return {"head": head.init(head_rng), "circuit": quantum.init(circuit_rng)}

    def apply(
        params: Params, x: Float[Array, "batch *features"], rng: PRNGKeyArray | None = None
    ) -> Float[Array, "batch classes"]:
        # Apart from dropout's; without noise and shots nothing is drawn.
        drawn = None if rng is None or exact else jax.random.fold_in(rng, 1)
        return quantum.apply(params["circuit"], head.apply(params["head"], x, rng), drawn)

    def evaluate(
        params: Params, x: Float[Array, "batch *features"], rng: PRNGKeyArray
    ) -> Float[Array, "batch classes"]:
        shown = quantum.evaluate or quantum.apply
        return shown(params["circuit"], head.apply(params["head"], x, None), rng)

    return Model(
        init,
        apply,
        layered={"head": False, "circuit": quantum.layered},
        circuit=circuit,
        noise=quantum.noise,
        shots=_with_encoding(quantum.shots, circuit.num_qubits * ROTATIONS[encoding]),
        evaluate=evaluate if quantum.evaluate is not None else None,
    )


def _with_encoding(plan: ShotPlan | None, rotations: int) -> ShotPlan | None:
    """Count the shifted encodings that the head's gradient takes."""
    if plan is None or plan.shots.gradient != "parameter_shift":
        return plan
    return plan._replace(circuits=plan.circuits + len(TWO_TERMS.shifts) * rotations)


class HeadedKeys(CircuitKeys):
    """Keys of a circuit behind a head."""

    circuit: Annotated[NamedFunction, FunctionOf("circuit")] = Field(
        default_factory=lambda: named_function("circuit", "chen_yoo")
    )
    """(num_qubits, num_layers) -> circuit."""
    num_qubits: Qubits = 4
    num_layers: PositiveInt = 2
    encoding: Literal["angle", "arctan"] = "arctan"
    """How the head's numbers enter the circuit."""
    readout: Literal["z", "z_zz", "probabilities"] = "z"
    """Expectation values (or probabilities) that become logits, one per class."""
    logit_scale: PositiveFloat = 1.0
    """Logits are this factor times the read-out."""
    init_std: PositiveFloat = 0.01
    """Angles start at N(0, init_std²), radians."""


class HybridConfig(HeadedKeys):
    """Chen and Yoo's transfer learning: a classical head, then a small circuit."""

    kind: Literal["hybrid"] = "hybrid"
    hidden: tuple[PositiveInt, ...] = ()
    """Hidden layers of the head, ReLU and dropout after each; the paper's are 4096, 4096."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5

    def build(self, context: Context) -> Model:
        """The model, for the features and classes of the data."""
        return hybrid(
            context.num_features,
            self.make_circuit(),
            context.num_classes,
            hidden=self.hidden,
            dropout=self.dropout,
            encoding=self.encoding,
            readout=self.readout,
            logit_scale=self.logit_scale,
            init_std=self.init_std,
            noise=context.noise,
            shots=context.shots,
        )
