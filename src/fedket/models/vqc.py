"""Variational quantum classifiers: encode, run a circuit, read expectation values as logits."""

from collections.abc import Callable
from functools import partial
from itertools import combinations
from math import prod
from typing import Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from fedket.errors import ConfigError, check_known
from fedket.models.circuit_keys import CircuitKeys
from fedket.quantum.circuit import Circuit
from fedket.quantum.encoding import ENCODINGS, ROTATIONS, arctan_state, encoding_angles
from fedket.quantum.measurement import (
    Measurement,
    check_measurement,
    expected_values,
    observables,
    pure_values,
)
from fedket.quantum.noise import NoiseModel
from fedket.quantum.noise.per_sample import noisy_per_sample_vjp
from fedket.quantum.per_sample import per_sample_vjp
from fedket.quantum.quantum_fisher import quantum_fisher
from fedket.quantum.shots import Shots, draw_values, plan_shots, sampled_values
from fedket.schema import PositiveFloat
from fedket.section import Context
from fedket.types import Model

MAX_NORM_ERROR = 1e-3
"""How far from 1 the norm of a state may be."""

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
    noise: NoiseModel | None = None,
    shots: Shots | None = None,
    of_head: bool = False,
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
        noise: What follows the circuit's gates, and how bits are read. Values are exact up to 8
            qubits; beyond, averages over `noise.trajectories` random Pauli errors, drawn anew in
            each training step and always the same in evaluation. The encoding has no noise.
        shots: How often circuits are measured, and how gradients come from that; None for
            infinitely many shots. `apply` without `rng` has none in any case.
        of_head: Whether samples are what a trained head gives, none of them huge (`arctan_state`).

    Raises:
        ConfigError: If the read-out has fewer values than classes.
        CircuitError: The circuit's noise is not served.
    """
    check_known("encoding", encoding, get_args(Encoding))
    check_known("readout", readout, get_args(Readout))
    subsets, signs = measured_subsets(readout, circuit.num_qubits, num_classes)
    measured = Measurement(circuit, noise, subsets, num_classes if subsets is None else 0)
    check_measurement(measured)
    encode = ENCODINGS[encoding]
    if of_head and encoding == "arctan":
        encode = partial(arctan_state, huge=False)

    def logits_of(values: Float[Array, "batch values"]) -> Float[Array, "batch classes"]:
        return logit_scale * (values if signs is None else values * signs)

    def init(rng: PRNGKeyArray) -> Float[Array, "layers slots"]:
        return init_std * jax.random.normal(rng, circuit.params_shape)

    def apply(
        params: Float[Array, "layers slots"],
        x: Float[Array, "batch *features"],
        rng: PRNGKeyArray | None = None,
    ) -> Float[Array, "batch classes"]:
        if rng is None or shots is None:
            psi = encode(x, circuit.num_qubits)
            return logits_of(expected_values(measured, params, psi, rng))
        inputs = encode(x, circuit.num_qubits)
        if encoding in ROTATIONS:
            inputs = encoding_angles(encoding, x, circuit.num_qubits)
        return logits_of(sampled_values(measured, shots, params, inputs, rng))

    def evaluate(
        params: Float[Array, "layers slots"], x: Float[Array, "batch *features"], rng: PRNGKeyArray
    ) -> Float[Array, "batch classes"]:
        count = 0 if shots is None else shots.evaluation
        psi = encode(x, circuit.num_qubits)
        return logits_of(draw_values(measured, count, params, psi, rng))

    def vjp(
        params: Float[Array, "layers slots"], x: Float[Array, "batch *features"]
    ) -> tuple[Array, Callable[[Array], Array]]:
        psi = encode(x, circuit.num_qubits)
        if noise is not None:
            read = observables(measured)
            values, of_values = noisy_per_sample_vjp(circuit, noise, params, psi, read)
            logits, to_values = jax.vjp(logits_of, values)
            return logits, lambda cotangent: of_values(to_values(cotangent)[0])
        final, to_angles = per_sample_vjp(circuit, params, psi)
        logits, to_states = jax.vjp(lambda psi: logits_of(pure_values(measured, psi)), final)
        return logits, lambda cotangent: to_angles(to_states(cotangent)[0])

    def metric(
        params: Float[Array, "layers slots"],
        x: Float[Array, "batch *features"],
        mask: Bool[Array, " batch"],
    ) -> Float[Array, "angles angles"]:
        metrics = quantum_fisher(circuit, params, encode(x, circuit.num_qubits)) / 4
        return jnp.einsum("b,bij->ij", mask.astype(metrics.dtype), metrics) / jnp.maximum(
            mask.sum(), 1
        )

    return Model(
        init,
        apply,
        vjp if noise is None or measured.exact else None,
        layered=True,
        circuit=circuit,
        noise=noise,
        shots=None if shots is None else plan_shots(measured, shots),
        evaluate=evaluate if shots is not None and shots.evaluation else None,
        metric=metric if noise is None and shots is None else None,
    )


def measured_subsets(
    readout: Readout, num_qubits: int, num_classes: int
) -> tuple[tuple[tuple[int, ...], ...] | None, np.ndarray | None]:
    """Qubits of each product of Zs, None for probabilities; signs that make logits, if any do.

    Raises:
        ConfigError: The read-out has fewer values than classes.
    """
    values = readout_size(readout, num_qubits)
    if values < num_classes:
        raise ConfigError(
            f"read-out `{readout}` of {num_qubits} qubits has {values} values for {num_classes} "
            f"classes; use more qubits or another read-out"
        )
    if readout == "probabilities":
        return None, None
    if readout == "z0":
        return ((0,),), np.array([1, -1][:num_classes], np.int32)
    return _subsets(readout, num_qubits)[:num_classes], None


def _subsets(readout: Readout, num_qubits: int) -> tuple[tuple[int, ...], ...]:
    """Qubits of each product of Zs, in the order of classes."""
    subsets: list[tuple[int, ...]] = [(q,) for q in range(num_qubits)]
    if readout == "z_zz":
        subsets += sorted(combinations(range(num_qubits), 2), key=lambda pair: pair[1] - pair[0])
    return tuple(subsets)


def readout_size(readout: Readout, num_qubits: int) -> int:
    """How many values a read-out offers."""
    sizes = {
        "z": num_qubits,
        "z0": 2,
        "z_zz": num_qubits * (num_qubits + 1) // 2,
        "probabilities": 1 << num_qubits,
    }
    return sizes[readout]


def check_norms(x: np.ndarray) -> None:
    """Raise `ConfigError` unless samples are states of norm 1, which `encoding = "state"` takes."""
    norms = np.sqrt((x.reshape(len(x), prod(x.shape[1:])).astype(np.float64) ** 2).sum(axis=1))
    wrong = np.flatnonzero(np.abs(norms - 1) > MAX_NORM_ERROR)
    if len(wrong):
        raise ConfigError(
            f"encoding `state` takes states of norm 1, training sample {wrong[0]} has norm "
            f"{norms[wrong[0]]:.4g}; divide samples by their norm, or use encoding `amplitude`"
        )


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

    def check(self, context: Context) -> None:
        """Samples that are states must have norm 1."""
        super().check(context)
        if self.encoding == "state":
            check_norms(context.samples.x_train)

    def build(self, context: Context) -> Model:
        """The model, for the classes of the data."""
        return vqc(
            self.make_circuit(),
            context.num_classes,
            encoding=self.encoding,
            readout=self.readout,
            logit_scale=self.logit_scale,
            init_std=self.init_std,
            noise=context.noise,
            shots=context.shots,
        )
