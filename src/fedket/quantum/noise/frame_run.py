"""A circuit with Paulis before its rotations, other ones in every column of states.

States and gradients are the adjoint engine's; the matrices of a rotation differ from column to
column by the Pauli alone. The compiled kernels apply no Pauli at all: they carry each column's
through the circuit and let it turn the rotations, with the same results to rounding.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from fedket.quantum import native
from fedket.quantum.circuit import Circuit
from fedket.quantum.cross_matrices import qubit_cross_matrices
from fedket.quantum.engine import block_matrices
from fedket.quantum.kernels import States, multiply_slices, permute, signed
from fedket.quantum.noise.drawn_run import Method, run_drawn
from fedket.quantum.noise.frames import Frame
from fedket.quantum.plan import PairStep, ProductBlock, plan_layer

Angles = Float[Array, "layers slots"]
Batch = Complex[Array, "dim batch"]


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
    return run_drawn(FRAMES, circuit, params, psi, before)


def _matrices(circuit: Circuit, params: Angles, _before: Frame) -> list[Array]:
    return block_matrices(_blocks(circuit), params)


def _paulis(before: Frame) -> Array:
    return before.x.astype(jnp.uint8) | before.z.astype(jnp.uint8) << 1


def _compiled(circuit: Circuit, matrices: list[Array], psi: Batch, before: Frame) -> Batch:
    return native.run(circuit, _blocks(circuit), matrices, psi, _paulis(before))


def _compiled_back(
    circuit: Circuit, matrices: list[Array], final: Batch, cotangent: Batch, before: Frame
) -> tuple[list[Array], Batch]:
    blocks, paulis = _blocks(circuit), _paulis(before)
    return native.pull_back(circuit, blocks, matrices, final, cotangent, paulis)


def _scan(circuit: Circuit, matrices: list[Array], psi: Batch, before: Frame) -> Batch:
    blocks = _blocks(circuit)

    def layer(states: States, inputs: tuple[list[Array], Frame]) -> tuple[States, None]:
        for i, (block, matrix) in enumerate(zip(blocks, inputs[0], strict=True)):
            if block.prelude is not None:
                states = permute(states, block.prelude)
            turned = _with_paulis(matrix, inputs[1].x[i], inputs[1].z[i])
            for step in block.steps:
                states = _apply(step, turned, states)
        return states, None

    states, _ = jax.lax.scan(layer, psi[None], (matrices, before))
    return states[0]


def _scan_back(
    circuit: Circuit, matrices: list[Array], final: Batch, cotangent: Batch, before: Frame
) -> tuple[list[Array], Batch]:
    """Cotangents of the matrices and of the initial states."""
    blocks = _blocks(circuit)

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
    return grads, states[1].conj()


FRAMES = Method("fedket_trajectories", _matrices, _compiled, _scan, _compiled_back, _scan_back)


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
