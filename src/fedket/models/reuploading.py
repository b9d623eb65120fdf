"""Data re-uploading (Pérez-Salinas et al., arXiv:1907.02085): features enter before every layer.

A circuit whose features enter once is a low-degree Fourier series of them; L uploads reach L times
as high. One qubit is then enough to classify, with as many layers as it takes.
"""

from typing import Annotated, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float, PRNGKeyArray
from pydantic import Field

from fedket.errors import CircuitError, ConfigError
from fedket.models.circuit_keys import CircuitKeys, Qubits
from fedket.models.vqc import Readout, measured_subsets
from fedket.quantum.circuit import Circuit
from fedket.quantum.encoding import flat_features, zero_state
from fedket.quantum.engine import run_circuit
from fedket.quantum.gates import multiply, ry, rz
from fedket.quantum.measurement import Measurement, pure_values
from fedket.quantum.memory import check_memory
from fedket.schema import PositiveFloat, PositiveInt
from fedket.section import Context, FunctionOf, NamedFunction, named_function
from fedket.types import Model, Params

KEPT = 8
"""States of a layer that a gradient step holds at once, at least; see `gradient_bytes`."""


def reuploading(
    num_features: int,
    circuit: Circuit,
    num_classes: int,
    *,
    readout: Readout = "z",
    logit_scale: float = 10.0,
    init_std: float = 0.1,
) -> Model:
    """A classifier that encodes its features, rescaled, again before each layer of a circuit.

    Before layer l, feature i turns qubit i mod n by w_li x_i radians: the first n features by RY,
    the next n by RZ, then RY again. Parameters are `{"circuit": angles, "scale": w}`. Where the
    paper adds w∘x to a gate's angles, a rotation for each feature stands before the layer here.

    Args:
        num_features: Features per sample after flattening, in any number.
        circuit: What follows each upload; its layers are the paper's.
        num_classes: Number of logits.
        readout: As of `vqc`.
        logit_scale: As of `vqc`.
        init_std: Angles start at N(0, init_std²), radians, scales at N(1, init_std²).

    Raises:
        ConfigError: The read-out has fewer values than classes.
    """
    subsets, signs = measured_subsets(readout, circuit.num_qubits, num_classes)
    measured = Measurement(circuit, None, subsets, num_classes if subsets is None else 0)
    one_layer = circuit._replace(num_layers=1)

    def init(rng: PRNGKeyArray) -> Params:
        angles, scale = jax.random.split(rng)
        scales = jax.random.normal(scale, (circuit.num_layers, num_features))
        return {
            "circuit": init_std * jax.random.normal(angles, circuit.params_shape),
            "scale": 1 + init_std * scales,
        }

    def apply(
        params: Params,
        x: Float[Array, "batch *features"],
        rng: PRNGKeyArray | None = None,  # noqa: ARG001 - every model takes one
    ) -> Float[Array, "batch classes"]:
        features = flat_features(x)
        if features.shape[1] != num_features:
            raise CircuitError(f"expected {num_features} features, got {features.shape[1]}")

        @jax.checkpoint  # one state per layer is kept for the gradient, not every rotation's
        def layer(
            psi: Complex[Array, "dim batch"], given: tuple[Array, Array]
        ) -> tuple[Complex[Array, "dim batch"], None]:
            angles, scale = given
            psi = _upload(features * scale, psi, circuit.num_qubits)
            return run_circuit(one_layer, angles[None], psi), None

        dtype = jnp.result_type(params["circuit"], features, jnp.complex64)
        psi = zero_state(circuit.num_qubits, x.shape[0]).astype(dtype)
        psi, _ = jax.lax.scan(layer, psi, (params["circuit"], params["scale"]))
        values = pure_values(measured, psi)
        return logit_scale * (values if signs is None else values * signs)

    return Model(init, apply, layered={"circuit": True, "scale": True}, circuit=circuit)


def _upload(
    angles: Float[Array, "batch features"], psi: Complex[Array, "dim batch"], num_qubits: int
) -> Complex[Array, "dim batch"]:
    """Turn qubits by angles of each sample's own."""
    batch, count = angles.shape
    for qubit in range(min(num_qubits, count)):
        turns = range(qubit, count, num_qubits)
        matrix = ry(angles[:, qubit])
        for number, feature in enumerate(turns[1:], start=1):
            matrix = multiply((rz if number % 2 else ry)(angles[:, feature]), matrix)
        states = psi.reshape(2**qubit, 2, -1, batch)
        a, b = states[:, 0], states[:, 1]
        turned = [matrix[:, i, 0] * a + matrix[:, i, 1] * b for i in (0, 1)]
        psi = jnp.stack(turned, axis=1).reshape(psi.shape)
    return psi


class ReuploadingConfig(CircuitKeys):
    """Data re-uploading: features enter again, rescaled by trained factors, before every layer."""

    kind: Literal["reuploading"] = "reuploading"
    circuit: Annotated[NamedFunction, FunctionOf("circuit")] = Field(
        default_factory=lambda: named_function("circuit", "two_local")
    )
    """(num_qubits, num_layers) -> circuit; all its layers alike."""
    num_qubits: Qubits = 4
    num_layers: PositiveInt = 3
    readout: Readout = "z"
    """Expectation values (or probabilities) that become logits, one per class."""
    logit_scale: PositiveFloat = 10.0
    """Logits are this factor times the read-out."""
    init_std: PositiveFloat = 0.1
    """Angles start at N(0, init_std²), radians, scales of features at N(1, init_std²)."""

    def check(self, context: Context) -> None:
        """Raise `CircuitError` if a gradient step does not fit."""
        itemsize = 8 if context.dtype == "float64" else 4
        columns = context.batch_size * (1 + self.num_layers // KEPT)
        check_memory(self.num_qubits, columns, 2 * itemsize)

    def build(self, context: Context) -> Model:
        """The model, for the features and classes of the data."""
        circuit = self.make_circuit()
        if circuit.num_layers != self.num_layers:
            raise ConfigError(
                f"features enter before each of num_layers = {self.num_layers} layers, but circuit "
                f"`{self.circuit[0]}` repeats {circuit.num_layers}; use one whose layers are alike"
            )
        return reuploading(
            context.num_features,
            circuit,
            context.num_classes,
            readout=self.readout,
            logit_scale=self.logit_scale,
            init_std=self.init_std,
        )
