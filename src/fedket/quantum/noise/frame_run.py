"""A circuit with Paulis before its rotations, other ones in every column of states.

States and gradients are the adjoint engine's; the matrices of a rotation differ from column to
column by the Pauli alone. The compiled kernels apply no Pauli at all: they carry each column's
through the circuit and let it turn the rotations, with the same results to rounding.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Complex, Float

from fedket.quantum import native
from fedket.quantum.circuit import Circuit
from fedket.quantum.cross_matrices import qubit_cross_matrices
from fedket.quantum.engine import block_matrices
from fedket.quantum.kernels import States, multiply_slices, permute, signed
from fedket.quantum.noise.frames import Frame
from fedket.quantum.plan import PairStep, ProductBlock, plan_layer

Angles = Float[Array, "layers slots"]
Batch = Complex[Array, "dim batch"]


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
    run = _on_cpus(native.run, _scan)
    final: Batch = run(circuit, block_matrices(_blocks(circuit), params), psi, before)
    return final


def _forward(
    circuit: Circuit, params: Angles, psi: Batch, before: Frame
) -> tuple[Batch, tuple[Angles, Batch, Frame]]:
    final = run_with_paulis(circuit, params, psi, before)
    return final, (params, final, before)


def _backward(
    circuit: Circuit, saved: tuple[Angles, Batch, Frame], cotangent: Batch
) -> tuple[Angles, Batch, None]:
    params, final, before = saved
    return *_pull_back(circuit, params, final, cotangent, before), None


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _pull_back(
    circuit: Circuit, params: Angles, final: Batch, cotangent: Batch, before: Frame
) -> tuple[Angles, Batch]:
    """Cotangents of the angles and of the initial states; compiled where there are kernels."""
    return _cotangents(_on_cpus(native.pull_back, _scan_back), circuit)(
        params, final, cotangent, before
    )


def _cotangents(back: Any, circuit: Circuit) -> Callable[..., tuple[Angles, Batch]]:
    def cotangents(params: Angles, *states: Any) -> tuple[Angles, Batch]:
        matrices, to_angles = jax.vjp(partial(block_matrices, _blocks(circuit)), params)
        grads, initial = back(circuit, matrices, *states)
        return to_angles(grads)[0], initial

    return cotangents


def _pull_back_forward(circuit: Circuit, *arguments: Any) -> tuple[Any, Any]:
    return _pull_back(circuit, *arguments), arguments


def _pull_back_backward(circuit: Circuit, saved: Any, cotangents: Any) -> tuple[Array | None, ...]:
    """Second derivatives, through the scan that JAX can look into: memory grows with depth."""
    *others, before = saved
    again = _cotangents(_scan_back, circuit)
    return *jax.vjp(lambda *given: again(*given, before), *others)[1](cotangents), None


run_with_paulis.defvjp(_forward, _backward)
_pull_back.defvjp(_pull_back_forward, _pull_back_backward)


def _on_cpus(compiled: Any, scan: Any) -> Any:
    """The kernels where there are any, else the scan."""
    if not native.has("fedket_trajectories"):
        return scan

    def run(circuit: Circuit, *arguments: Any) -> Any:
        def kernel(*arguments: Any) -> Any:
            *others, before = arguments
            paulis = before.x.astype(jnp.uint8) | before.z.astype(jnp.uint8) << 1
            return compiled(circuit, _blocks(circuit), *others, paulis)

        return jax.lax.platform_dependent(*arguments, cpu=kernel, default=partial(scan, circuit))

    return run


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
