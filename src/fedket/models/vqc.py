"""Variational quantum classifiers: encode, run a circuit, read expectation values as logits."""

from collections.abc import Callable
from itertools import combinations
from typing import Literal

import jax
import numpy as np
from jaxtyping import Array, Complex, Float, PRNGKeyArray

from fedket.errors import CircuitError, ConfigError
from fedket.models.circuit_keys import CircuitKeys
from fedket.quantum import noise as noise_on
from fedket.quantum.circuit import Circuit
from fedket.quantum.encoding import ENCODINGS
from fedket.quantum.engine import run_circuit
from fedket.quantum.noise import NoiseModel
from fedket.quantum.noise.frames import check_trajectories
from fedket.quantum.noise.plan import MAX_EXACT_QUBITS, plan_noisy
from fedket.quantum.per_sample import per_sample_vjp
from fedket.quantum.readout import expval_parity, probabilities
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
    noise: NoiseModel | None = None,
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

    Raises:
        ConfigError: If the read-out has fewer values than classes.
        CircuitError: The circuit's noise is not served.
    """
    measure = measure_states(readout, circuit.num_qubits, num_classes)
    noisy = None if noise is None else _noisy_readout(readout, circuit, noise, num_classes)
    encode = ENCODINGS[encoding]

    def init(rng: PRNGKeyArray) -> Float[Array, "layers slots"]:
        return init_std * jax.random.normal(rng, circuit.params_shape)

    def apply(
        params: Float[Array, "layers slots"],
        x: Float[Array, "batch *features"],
        rng: PRNGKeyArray | None = None,
    ) -> Float[Array, "batch classes"]:
        psi = encode(x, circuit.num_qubits)
        if noisy is not None:
            return logit_scale * noisy(params, psi, rng)
        return logit_scale * measure(run_circuit(circuit, params, psi))

    def vjp(
        params: Float[Array, "layers slots"], x: Float[Array, "batch *features"]
    ) -> tuple[Array, Callable[[Array], Array]]:
        final, to_angles = per_sample_vjp(circuit, params, encode(x, circuit.num_qubits))
        logits, to_states = jax.vjp(lambda psi: logit_scale * measure(psi), final)
        return logits, lambda cotangent: to_angles(to_states(cotangent)[0])

    fast = vjp if noise is None else None
    return Model(init, apply, fast, layered=True, circuit=circuit, noise=noise)


def measure_states(
    readout: Readout, num_qubits: int, num_classes: int
) -> Callable[[Complex[Array, "dim batch"]], Float[Array, "batch classes"]]:
    """A read-out as a function of final states, one value per class; see `vqc`.

    Raises:
        ConfigError: It has fewer values than classes.
    """
    values = readout_size(readout, num_qubits)
    if values < num_classes:
        raise ConfigError(
            f"read-out `{readout}` of {num_qubits} qubits has {values} values for {num_classes} "
            f"classes; use more qubits or another read-out"
        )
    if readout == "probabilities":
        return lambda psi: probabilities(psi)[:num_classes].T
    if readout == "z0":
        signs = _z0_signs(num_classes)
        return lambda psi: expval_parity(psi, ((0,),)) * signs
    subsets = _subsets(readout, num_qubits)[:num_classes]
    return lambda psi: expval_parity(psi, subsets)


def _noisy_readout(
    readout: Readout, circuit: Circuit, model: NoiseModel, num_classes: int
) -> Callable[..., Array]:
    """The same as a function of the angles, of the states that enter, and of randomness or None."""
    if circuit.num_qubits > MAX_EXACT_QUBITS:
        return _estimated_readout(readout, circuit, model, num_classes)
    plan_noisy(circuit, model)  # what is not served is said here, not in the first step
    subsets, signs = _parities(readout, circuit.num_qubits, num_classes)

    def exact(params: Array, psi: Array, rng: PRNGKeyArray | None) -> Array:  # noqa: ARG001
        if readout == "probabilities":
            return noise_on.probabilities(circuit, model, params, psi, num_classes)
        return noise_on.expval_parity(circuit, model, params, psi, subsets) * signs

    return exact


def _estimated_readout(
    readout: Readout, circuit: Circuit, model: NoiseModel, num_classes: int
) -> Callable[..., Array]:
    if readout == "probabilities":
        raise CircuitError(
            f"read-out `probabilities` under noise serves up to {MAX_EXACT_QUBITS} qubits, this "
            f'circuit has {circuit.num_qubits}; use "z" or "z_zz"'
        )
    check_trajectories(circuit, model)
    subsets, signs = _parities(readout, circuit.num_qubits, num_classes)

    def estimate(params: Array, psi: Array, rng: PRNGKeyArray | None) -> Array:
        errors = jax.random.key(0) if rng is None else rng
        count = model.trajectories
        found = noise_on.trajectory_parity(circuit, model, params, psi, subsets, errors, count)
        return found * signs

    return estimate


def _parities(
    readout: Readout, num_qubits: int, num_classes: int
) -> tuple[tuple[tuple[int, ...], ...], np.ndarray]:
    """Qubits of each product of Zs that is measured, and the signs that make logits of it."""
    if readout == "z0":
        return ((0,),), _z0_signs(num_classes)
    return _subsets(readout, num_qubits)[:num_classes], np.ones(1, np.int32)


def _z0_signs(num_classes: int) -> np.ndarray:
    return np.array([1, -1][:num_classes], np.int32)


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
            noise=context.noise,
        )
