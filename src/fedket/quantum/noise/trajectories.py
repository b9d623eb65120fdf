"""Noise beyond the exact method's qubits: the average over random Pauli errors.

A trajectory is a pure circuit with Paulis in it, drawn anew by `rng`; its states and gradients are
the adjoint engine's, a column of states per sample and trajectory. An average over T trajectories
is right up to 1/√T; inside a loss it has a bias of order 1/T, so T belongs to every result.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, PRNGKeyArray

from fedket.quantum.circuit import Circuit
from fedket.quantum.engine import block_matrices, qubit_cross_matrices
from fedket.quantum.kernels import States, multiply_slices, permute, signed
from fedket.quantum.noise.frames import Frame, check_trajectories, sample_frames
from fedket.quantum.noise.model import NoiseModel
from fedket.quantum.plan import PairStep, ProductBlock, plan_layer
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
        circuit: Of gates on one qubit, and CNOT, CZ, SWAP; of any size.
        noise: Pauli channels after its gates, and how bits are read.
        params: Angles in radians, shape `circuit.params_shape`.
        psi: States of norm 1 that enter, as columns, shape (2**num_qubits, batch).
        subsets: Qubits of each product.
        rng: Decides the errors.
        trajectories: How many are averaged for each sample, T; the error goes as 1/√T.

    Returns:
        Values in [−1, 1], shape (batch, len(subsets)).

    Raises:
        CircuitError: A gate or a channel is not served.
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
        CircuitError: A gate or a channel is not served.
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
    columns = jnp.repeat(psi, trajectories, axis=1)
    num_blocks = len(plan_layer(circuit, narrow=False))
    before, last = sample_frames(rng, circuit, noise, num_blocks, columns.shape[1])
    return run_with_paulis(circuit, params.astype(psi.real.dtype), columns, before), last


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


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def run_with_paulis(circuit: Circuit, params: Angles, psi: Batch, before: Frame) -> Batch:
    """Apply a circuit with Paulis before its rotations; differentiable in `params` and `psi`.

    Args:
        circuit: Of gates on one qubit, and CNOT, CZ, SWAP.
        params: Angles in radians, shape `circuit.params_shape`.
        psi: States as columns, shape (2**num_qubits, columns).
        before: Bits (layers, blocks, qubits, columns), see `sample_frames`.

    Returns:
        The final states, up to a phase of each.
    """
    blocks = _blocks(circuit)

    def layer(states: States, inputs: tuple[list[Array], Frame]) -> tuple[States, None]:
        for i, (block, matrix) in enumerate(zip(blocks, inputs[0], strict=True)):
            if block.prelude is not None:
                states = permute(states, block.prelude)
            turned = _with_paulis(matrix, inputs[1].x[i], inputs[1].z[i])
            for step in block.steps:
                states = _apply(step, turned, states)
        return states, None

    states, _ = jax.lax.scan(layer, psi[None], (block_matrices(blocks, params), before))
    return states[0]


def _forward(
    circuit: Circuit, params: Angles, psi: Batch, before: Frame
) -> tuple[Batch, tuple[Angles, Batch, Frame]]:
    final = run_with_paulis(circuit, params, psi, before)
    return final, (params, final, before)


def _backward(
    circuit: Circuit, saved: tuple[Angles, Batch, Frame], cotangent: Batch
) -> tuple[Angles, Batch, None]:
    params, final, before = saved
    blocks = _blocks(circuit)
    matrices, pull_back = jax.vjp(partial(block_matrices, blocks), params)

    def layer(states: States, inputs: tuple[list[Array], Frame]) -> tuple[States, list[Array]]:
        grads = []
        for i in reversed(range(len(blocks))):
            block, matrix = blocks[i], inputs[0][i]
            # A Pauli comes before its rotation, so the rotation's cotangent needs neither.
            if block.trainable:
                cross = qubit_cross_matrices(states[1].conj(), states[0], circuit.num_qubits)
                grads.append(jnp.einsum("nik,nkj->nij", cross, matrix.conj()))
            else:
                grads.append(jnp.zeros_like(matrix))
            turned = _with_paulis(matrix, inputs[1].x[i], inputs[1].z[i])
            for step in reversed(block.steps):
                states = _unapply(step, turned, states)
            if block.prelude is not None:
                states = permute(states, block.prelude.inverse())
        return states, grads[::-1]

    states = jnp.stack([final, cotangent.conj()])
    states, grads = jax.lax.scan(layer, states, (matrices, before), reverse=True)
    return pull_back(grads)[0], states[1].conj(), None


run_with_paulis.defvjp(_forward, _backward)


def _blocks(circuit: Circuit) -> tuple[ProductBlock, ...]:
    planned = plan_layer(circuit, narrow=False)
    return tuple(block for block in planned if isinstance(block, ProductBlock))


def _with_paulis(
    matrices: Complex[Array, "qubits 2 2"], x: Array, z: Array
) -> Complex[Array, "qubits 2 2 columns"]:
    """U X^x Z^z of every qubit and column."""
    signs = jnp.where(z, -1, 1).astype(matrices.real.dtype)[:, None]
    first, second = (
        jnp.where(x[:, None], matrices[:, :, 1 - j, None], matrices[:, :, j, None])
        for j in range(2)
    )
    return jnp.stack([first, second * signs], axis=2)


def _on(step: PairStep, matrices: Complex[Array, "qubits 2 2 columns"]) -> Array:
    """Matrix on the step's qubit or pair, in every column."""
    if len(step.qubits) == 1:
        return matrices[step.qubits[0]]
    first, second = (matrices[qubit] for qubit in step.qubits)
    return jnp.einsum("ijc,klc->ikjlc", first, second).reshape(4, 4, -1)


def _slices(step: PairStep, psi: States) -> list[Array]:
    """The amplitudes that a step reads, columns as the last axis of each."""
    view = psi.reshape(psi.shape[0] * 2 ** step.qubits[0], 2**step.width, -1, psi.shape[2])
    return [view[:, j] for j in range(view.shape[1])]


def _apply(step: PairStep, matrices: Array, psi: States) -> States:
    slices = _slices(step, psi)
    if step.monomial is not None:
        moved = zip(step.monomial.source, step.monomial.sign, strict=True)
        slices = [signed(slices[source], sign) for source, sign in moved]
    if step.dense:
        slices = multiply_slices(_on(step, matrices), slices)
    return jnp.stack(slices, axis=1).reshape(psi.shape)


def _unapply(step: PairStep, matrices: Array, psi: States) -> States:
    slices = _slices(step, psi)
    if step.dense:
        slices = multiply_slices(jnp.swapaxes(_on(step, matrices).conj(), 0, 1), slices)
    if step.monomial is not None:
        back = step.monomial.inverse()
        moved = zip(back.source, back.sign, strict=True)
        slices = [signed(slices[source], sign) for source, sign in moved]
    return jnp.stack(slices, axis=1).reshape(psi.shape)
