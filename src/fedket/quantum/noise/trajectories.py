"""Noise beyond the exact method's qubits: the average over random Pauli errors.

A trajectory is a pure circuit with Paulis in it, drawn anew by `rng`, a column of states per sample
and trajectory. Errors are pushed forward to the next rotations where all gates let them through
(`frames`), and are then other ones for every sample; else they are gates of a longer circuit
(`insertions`), and samples share them. An average over T trajectories is right up to 1/√T; inside a
loss it has a bias of order 1/T, so T belongs to every result.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, PRNGKeyArray

from fedket.quantum.circuit import Circuit
from fedket.quantum.noise.frame_run import run_with_paulis
from fedket.quantum.noise.frames import Frame, check_trajectories, pushes_forward, sample_frames
from fedket.quantum.noise.insertions import run_with_errors
from fedket.quantum.noise.model import NoiseModel
from fedket.quantum.plan import plan_layer
from fedket.quantum.readout import expval_parity, probabilities

Angles = Float[Array, "layers slots"]
Batch = Complex[Array, "dim batch"]
Values = Float[Array, "batch values"]
Subsets = tuple[tuple[int, ...], ...]


def trajectory_parity(
    circuit: Circuit,
    noise: NoiseModel,
    params: Angles,
    psi: Batch,
    subsets: Subsets,
    rng: PRNGKeyArray,
    trajectories: int,
) -> Values:
    """⟨Π_{q in S} Z_q⟩ for each subset S of qubits as read after a noisy circuit, estimated.

    Args:
        circuit: Of any size.
        noise: Pauli channels after its gates, and how bits are read.
        params: Angles in radians, shape `circuit.params_shape`.
        psi: States of norm 1 that enter, as columns, shape (2**num_qubits, batch).
        subsets: Qubits of each product.
        rng: Decides the errors.
        trajectories: How many are averaged for each sample, T; the error goes as 1/√T.

    Returns:
        Values in [−1, 1], shape (batch, len(subsets)).

    Raises:
        CircuitError: A channel is no random Pauli.
    """
    final, last = _run_all(circuit, noise, params, psi, rng, trajectories)
    parts, mix = _read(subsets, noise)
    flips = jnp.stack([jnp.where(_parity(last, part), -1, 1) for part in parts], axis=1)
    values = expval_parity(final, parts) * flips
    means = values.reshape(psi.shape[1], trajectories, len(parts)).mean(axis=1)
    return means @ jnp.asarray(mix, means.dtype)


def trajectory_probabilities(
    circuit: Circuit,
    noise: NoiseModel,
    params: Angles,
    psi: Batch,
    rng: PRNGKeyArray,
    trajectories: int,
) -> Values:
    """Probability of every basis state to be read after a noisy circuit, estimated.

    Args are those of `trajectory_parity`.

    Returns:
        Shape (batch, 2**num_qubits); rows sum to 1.

    Raises:
        CircuitError: A channel is no random Pauli.
    """
    final, last = _run_all(circuit, noise, params, psi, rng, trajectories)
    n = circuit.num_qubits
    flipped = jnp.tensordot(1 << np.arange(n)[::-1], last.x.astype(jnp.int32), axes=1)
    places = jnp.arange(2**n)[:, None] ^ flipped[None]
    seen = jnp.take_along_axis(probabilities(final), places, axis=0)
    means = seen.reshape(2**n, psi.shape[1], trajectories).mean(axis=2)
    return _misread(means, noise).T


def _run_all(
    circuit: Circuit,
    noise: NoiseModel,
    params: Angles,
    psi: Batch,
    rng: PRNGKeyArray,
    trajectories: int,
) -> tuple[Complex[Array, "dim columns"], Frame]:
    """Final states of every sample's trajectories, and what is pending in each."""
    check_trajectories(circuit, noise)
    psi = psi.astype(jnp.result_type(params.dtype, psi.dtype, jnp.complex64))
    params = params.astype(psi.real.dtype)
    if not pushes_forward(circuit, noise):
        final = run_with_errors(circuit, noise, params, psi, rng, trajectories)
        nothing = jnp.zeros((circuit.num_qubits, final.shape[1]), bool)
        return final, Frame(nothing, nothing)
    columns = jnp.repeat(psi, trajectories, axis=1)
    num_blocks = len(plan_layer(circuit, narrow=False))
    before, last = sample_frames(rng, circuit, noise, num_blocks, columns.shape[1])
    return run_with_paulis(circuit, params, columns, before), last


def _misread(probs: Float[Array, "dim batch"], noise: NoiseModel) -> Float[Array, "dim batch"]:
    """Probabilities of what is read, where bits are flipped by themselves."""
    for qubit in range(probs.shape[0].bit_length() - 1):
        wrong_one, wrong_zero = noise.readout_of(qubit)
        if wrong_one or wrong_zero:
            zero, one = jnp.moveaxis(probs.reshape(2**qubit, 2, -1, probs.shape[1]), 1, 0)
            read = (
                (1 - wrong_one) * zero + wrong_zero * one,
                wrong_one * zero + (1 - wrong_zero) * one,
            )
            probs = jnp.stack(read, axis=1).reshape(probs.shape)
    return probs


def _parity(last: Frame, subset: tuple[int, ...]) -> Array:
    """Whether an odd number of a subset's qubits is flipped, per column."""
    return jnp.sum(last.x[np.array(subset, int)], axis=0) % 2 == 1


def _read(subsets: Subsets, noise: NoiseModel) -> tuple[Subsets, np.ndarray]:
    """Products of Zs that are needed, and how they mix into what is read, (needed, subsets)."""
    weights: list[dict[tuple[int, ...], float]] = []
    for subset in subsets:
        terms: dict[tuple[int, ...], float] = {(): 1.0}
        for qubit in subset:
            wrong_one, wrong_zero = noise.readout_of(qubit)
            kept, shift = 1 - wrong_one - wrong_zero, wrong_zero - wrong_one
            longer = {(*part, qubit): weight * kept for part, weight in terms.items()}
            shorter = {part: weight * shift for part, weight in terms.items() if shift}
            terms = shorter | longer
        weights.append(terms)
    parts = tuple(dict.fromkeys(part for terms in weights for part in terms))
    return parts, np.array([[terms.get(part, 0.0) for terms in weights] for part in parts])
