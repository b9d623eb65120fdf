"""Variational quantum classifiers: encode, run a circuit, read expectation values as logits."""

from collections.abc import Callable
from itertools import combinations
from typing import Literal

import jax
import numpy as np
from jaxtyping import Array, Complex, Float, PRNGKeyArray

from fedket.errors import ConfigError
from fedket.models.circuit_keys import CircuitKeys
from fedket.quantum import (
    ENCODINGS,
    Circuit,
    expval_parity,
    per_sample_vjp,
    probabilities,
    run_circuit,
)
from fedket.schema import PositiveFloat
from fedket.section import Context
from fedket.types import Model

Readout = Literal["z", "z0", "z_zz", "probabilities"]
Encoding = Literal["amplitude", "angle", "arctan", "state"]


def vqc(
    circuit: Circuit,
    num_classes: int,
    *,
    encoding: Encoding = "amplitude",
    readout: Readout = "z_zz",
    logit_scale: float = 10.0,
    init_std: float = 0.1,
) -> Model:
    """A classifier whose only parameters are the circuit's angles.

    Args:
        circuit: Trainable circuit; parameters have shape `circuit.params_shape`, in radians.
        num_classes: Number of logits.
        encoding: `amplitude` (2**n features), `angle` or `arctan` (one feature per qubit), `state`
            (samples are states).
        readout: `z` takes ⟨Z_i⟩ of the first qubits; `z0` is ⟨Z₀⟩ for class 0 and −⟨Z₀⟩ for
            class 1; `z_zz` is `z` and then ⟨Z_i Z_j⟩, i < j, nearest pairs first;
            `probabilities` those of the first basis states.
        logit_scale: Logits are this times the read-out. Expectation values lie in [−1, 1], so a
            scale of 1 bounds the loss from below (ln(1 + e⁻²) for two classes).
        init_std: Angles start at N(0, init_std²).

    Raises:
        ConfigError: If the read-out has fewer values than classes.
    """
    measure = _readout(readout, circuit.num_qubits, num_classes)
    encode = ENCODINGS[encoding]

    def init(rng: PRNGKeyArray) -> Float[Array, "layers slots"]:
        return init_std * jax.random.normal(rng, circuit.params_shape)

    def apply(
        params: Float[Array, "layers slots"],
        x: Float[Array, "batch *features"],
        rng: PRNGKeyArray | None = None,  # noqa: ARG001 - exact read-out draws nothing
    ) -> Float[Array, "batch classes"]:
        psi = run_circuit(circuit, params, encode(x, circuit.num_qubits))
        return logit_scale * measure(psi)

    def vjp(
        params: Float[Array, "layers slots"], x: Float[Array, "batch *features"]
    ) -> tuple[Array, Callable[[Array], Array]]:
        final, to_angles = per_sample_vjp(circuit, params, encode(x, circuit.num_qubits))
        logits, to_states = jax.vjp(lambda psi: logit_scale * measure(psi), final)
        return logits, lambda cotangent: to_angles(to_states(cotangent)[0])

    return Model(init, apply, vjp, layered=True, circuit=circuit)


def _readout(
    readout: Readout, num_qubits: int, num_classes: int
) -> Callable[[Complex[Array, "dim batch"]], Float[Array, "batch classes"]]:
    values = readout_size(readout, num_qubits)
    if values < num_classes:
        raise ConfigError(
            f"read-out `{readout}` of {num_qubits} qubits has {values} values for {num_classes} "
            f"classes; use more qubits or another read-out"
        )
    if readout == "probabilities":
        return lambda psi: probabilities(psi)[:num_classes].T
    if readout == "z0":
        signs = np.array([1, -1][:num_classes], np.int32)
        return lambda psi: expval_parity(psi, ((0,),)) * signs
    subsets: list[tuple[int, ...]] = [(q,) for q in range(num_qubits)]
    if readout == "z_zz":
        subsets += sorted(combinations(range(num_qubits), 2), key=lambda pair: pair[1] - pair[0])
    return lambda psi: expval_parity(psi, tuple(subsets[:num_classes]))


def readout_size(readout: Readout, num_qubits: int) -> int:
    """How many values a read-out offers."""
    sizes = {
        "z": num_qubits,
        "z0": 2,
        "z_zz": num_qubits * (num_qubits + 1) // 2,
        "probabilities": 1 << num_qubits,
    }
    return sizes[readout]


class VqcConfig(CircuitKeys):
    """A variational quantum classifier: encode, rotate and entangle, read out."""

    kind: Literal["vqc"] = "vqc"
    encoding: Encoding = "amplitude"
    """`amplitude` takes 2**num_qubits features, `angle` and `arctan` one per qubit, `state` states
    as samples."""
    readout: Readout = "z_zz"
    """Expectation values (or probabilities) that become logits, one per class."""
    logit_scale: PositiveFloat = 10.0
    """Logits are this factor times the read-out."""
    init_std: PositiveFloat = 0.1
    """Angles start at N(0, init_std²), radians."""

    def build(self, context: Context) -> Model:
        """The model, for the classes of the data."""
        return vqc(
            self.make_circuit(),
            context.num_classes,
            encoding=self.encoding,
            readout=self.readout,
            logit_scale=self.logit_scale,
            init_std=self.init_std,
        )
