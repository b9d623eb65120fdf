"""Run a circuit on a batch of states, with adjoint gradients.

Layers are scanned, so compile time does not depend on depth. The backward pass un-applies layers
(adjoint method, arXiv:2009.02823), so neither does memory. Gradients are taken with respect to
the small dense matrices, from reduced cross matrices of the state and its cotangent (GEMMs), and
pulled back to the angles by differentiating the matrices' construction once for all layers.

Cotangents follow JAX: for y = U x the cotangent of x is Uᵀ times that of y; its complex conjugate
therefore un-applies exactly like the state.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from fedket.errors import CircuitError
from fedket.quantum import native
from fedket.quantum.circuit import Circuit, Gate
from fedket.quantum.cross_matrices import qubit_cross_matrices
from fedket.quantum.gates import GATES, multiply
from fedket.quantum.kernels import (
    States,
    apply_pair,
    apply_window,
    cross_matrix,
    permute,
    unapply_pair,
)
from fedket.quantum.plan import (
    MAX_WINDOW,
    NARROW_BATCH,
    Block,
    ProductBlock,
    WindowBlock,
    plan_layer,
)
from fedket.quantum.reference import apply_gate, gate_matrix

Angles = Float[Array, "layers slots"]
Batch = Complex[Array, "dim batch"]


def run_circuit(
    circuit: Circuit, params: Angles, psi: Batch, *, forward_mode: bool = False
) -> Batch:
    """Apply a circuit to a batch of pure states; differentiable in `params` and `psi`.

    Reverse mode (`jax.grad`, `jax.vjp`), once or again (`jax.jacrev(jax.grad(f))`); works under
    `jax.jit` and `jax.vmap`. What JAX differentiates forwards (`jax.jvp`, `jax.jacfwd`,
    `jax.hessian`) needs `forward_mode`, since adjoint gradients exist backwards only.

    Args:
        circuit: The circuit.
        params: Angles in radians, shape `circuit.params_shape`, float32 or float64.
        psi: States as columns, shape (2**num_qubits, batch), complex64 or complex128.
        forward_mode: Whether JAX differentiates through every gate, in any mode: without compiled
            kernels, and backwards with memory that grows with depth.

    Returns:
        The final states, same shape, in the precision of `params` and `psi` together.

    Raises:
        CircuitError: If the shapes do not fit the circuit.
    """
    params, psi = match_arguments(circuit, params, psi)
    dim = psi.shape[0]
    if forward_mode:
        blocks = blocks_of(circuit, psi)
        return scan_blocks(circuit, blocks, block_matrices(blocks, params), psi)
    if psi.shape[1] > dim * (native.WIDE if native.kernels() else 1):
        unitary = _run(circuit, params, jnp.eye(dim, dtype=psi.dtype))
        return unitary @ psi
    return _run(circuit, params, psi)


def match_arguments(circuit: Circuit, params: Angles, psi: Batch) -> tuple[Angles, Batch]:
    """Return angles and states in their common precision.

    Args:
        circuit: The circuit.
        params: Angles in radians, shape `circuit.params_shape`.
        psi: States as columns, shape (2**num_qubits, batch).

    Raises:
        CircuitError: If the shapes do not fit the circuit.
    """
    dim = 2**circuit.num_qubits
    if params.shape != circuit.params_shape or psi.ndim != 2 or psi.shape[0] != dim:
        raise CircuitError(
            f"circuit takes angles {circuit.params_shape} and states ({dim}, batch), "
            f"got {params.shape} and {psi.shape}"
        )
    psi = psi.astype(jnp.result_type(params.dtype, psi.dtype, jnp.complex64))
    params = params.astype(psi.real.dtype)
    return params, psi


def circuit_unitary(circuit: Circuit, params: Angles) -> Complex[Array, "dim dim"]:
    """Return the circuit's matrix, shape (2**num_qubits, 2**num_qubits)."""
    dtype = jnp.result_type(params.dtype, jnp.complex64)
    return _run(circuit, params, jnp.eye(2**circuit.num_qubits, dtype=dtype))


def blocks_of(circuit: Circuit, psi: Batch) -> tuple[Block, ...]:
    """How a layer is executed on a batch of states."""
    window = native.MAX_WINDOW if native.kernels() else MAX_WINDOW
    return plan_layer(circuit, psi.shape[1] < NARROW_BATCH, window)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _run(circuit: Circuit, params: Angles, psi: Batch) -> Batch:
    blocks = blocks_of(circuit, psi)
    matrices = block_matrices(blocks, params)
    scan = partial(scan_blocks, circuit, blocks)
    if native.kernels() is None:
        return scan(matrices, psi)
    compiled = partial(native.run, circuit, blocks)
    final: Batch = native.on_cpus(compiled, scan, matrices, psi)
    return final


def scan_blocks(
    circuit: Circuit, blocks: tuple[Block, ...], matrices: list[Array], psi: Batch
) -> Batch:
    """Apply blocks with their matrices, layer by layer."""

    def layer(states: States, matrices: list[Array]) -> tuple[States, None]:
        for block, matrix in zip(blocks, matrices, strict=True):
            states = _apply(circuit, block, matrix, states)
        return states, None

    states, _ = jax.lax.scan(layer, psi[None], matrices)
    return states[0]


def _run_forward(
    circuit: Circuit, params: Angles, psi: Batch
) -> tuple[Batch, tuple[Angles, Batch]]:
    final = _run(circuit, params, psi)
    return final, (params, final)


def _run_backward(
    circuit: Circuit, saved: tuple[Angles, Batch], cotangent: Batch
) -> tuple[Angles, Batch]:
    return _pull_back(circuit, *saved, cotangent)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _pull_back(
    circuit: Circuit, params: Angles, final: Batch, cotangent: Batch
) -> tuple[Angles, Batch]:
    """Cotangents of the angles and of the initial states; compiled where there are kernels."""
    return _cotangents(_back, circuit, params, final, cotangent)


def _cotangents(
    back: Callable[..., tuple[list[Array], Batch]],
    circuit: Circuit,
    params: Angles,
    final: Batch,
    cotangent: Batch,
) -> tuple[Angles, Batch]:
    blocks = blocks_of(circuit, final)
    matrices, to_angles = jax.vjp(partial(block_matrices, blocks), params)
    grads, initial = back(circuit, blocks, matrices, final, cotangent)
    return to_angles(grads)[0], initial


def _back(circuit: Circuit, blocks: tuple[Block, ...], *arguments: Any) -> tuple[Any, Batch]:
    scan = partial(scan_blocks_back, circuit, blocks)
    if native.kernels() is None:
        return scan(*arguments)
    compiled = partial(native.pull_back, circuit, blocks)
    found: tuple[Any, Batch] = native.on_cpus(compiled, scan, *arguments)
    return found


def _pull_back_forward(
    circuit: Circuit, *arguments: Array
) -> tuple[tuple[Angles, Batch], tuple[Array, ...]]:
    return _pull_back(circuit, *arguments), arguments


def _pull_back_backward(
    circuit: Circuit, saved: tuple[Array, ...], cotangents: tuple[Angles, Batch]
) -> tuple[Array, ...]:
    """Second derivatives, through the scan that JAX can look into: memory grows with depth."""
    again = partial(_cotangents, scan_blocks_back, circuit)
    return tuple(jax.vjp(again, *saved)[1](cotangents))


def scan_blocks_back(
    circuit: Circuit,
    blocks: tuple[Block, ...],
    matrices: list[Array],
    final: Batch,
    cotangent: Batch,
) -> tuple[list[Array], Batch]:
    """Cotangents of the matrices and of the initial states."""

    def layer(states: States, matrices: list[Array]) -> tuple[States, list[Array]]:
        grads = []
        for block, matrix in zip(reversed(blocks), reversed(matrices), strict=True):
            states, grad = _unapply(circuit, block, matrix, states)
            grads.append(grad)
        return states, grads[::-1]

    states = jnp.stack([final, cotangent.conj()])
    states, grads = jax.lax.scan(layer, states, matrices, reverse=True)
    return grads, states[1].conj()


_run.defvjp(_run_forward, _run_backward)
_pull_back.defvjp(_pull_back_forward, _pull_back_backward)


def block_matrices(blocks: tuple[Block, ...], params: Angles) -> list[Array]:
    """Dense matrices of every block for all layers at once.

    Product blocks: (layers, qubits, 2, 2). Window blocks: (layers, 2**k, 2**k).
    """
    return [
        fuse_gates(block.gates, params)
        if isinstance(block, ProductBlock)
        else _window_matrices(block, params)
        for block in blocks
    ]


def fuse_gates(
    columns: tuple[tuple[Gate, ...], ...], params: Angles
) -> Complex[Array, "layers n 2 2"]:
    """Product of each qubit's gates, one column of them per qubit, identity where it has none.

    Qubits with the same gates are worked out side by side: few kernels, which compile quickly.
    """
    alike: dict[tuple[str, ...], list[int]] = {}
    for qubit, gates in enumerate(columns):
        alike.setdefault(tuple(gate.name for gate in gates), []).append(qubit)
    parts = [_fuse([columns[q] for q in qubits], params) for qubits in alike.values()]
    if not parts:
        return _fuse([], params)
    if len(parts) == 1:
        return parts[0]
    order = np.argsort([qubit for qubits in alike.values() for qubit in qubits])
    return jnp.concatenate(parts, axis=1)[:, order]


def _fuse(columns: list[tuple[Gate, ...]], params: Angles) -> Complex[Array, "layers n 2 2"]:
    """Products of equally named gates, one column of gates for each qubit."""
    dtype = jnp.result_type(params.dtype, jnp.complex64)
    total = jnp.broadcast_to(jnp.eye(2, dtype=dtype), (params.shape[0], len(columns), 2, 2))
    for gates in zip(*columns, strict=True):
        slots = np.array([gate.slots for gate in gates]).T
        matrix = GATES[gates[0].name].matrix(*(params[:, column] for column in slots))
        total = multiply(matrix.astype(dtype), total)
    return total


def _window_matrices(block: WindowBlock, params: Angles) -> Complex[Array, "layers m m"]:
    """Simulate the window's gates on the identity, for every layer."""
    k = len(block.qubits)
    place = {qubit: i for i, qubit in enumerate(block.qubits)}
    eye = jnp.eye(2**k, dtype=jnp.result_type(params.dtype, jnp.complex64))

    def one_layer(angles: Float[Array, " slots"]) -> Complex[Array, "m m"]:
        matrix = eye.reshape((2,) * k + (2**k,))
        for gate in block.gates:
            qubits = tuple(place[qubit] for qubit in gate.qubits)
            matrix = apply_gate(gate_matrix(gate, angles), matrix, qubits)
        return matrix.reshape(2**k, 2**k)

    return jax.vmap(one_layer)(params)


def _apply(circuit: Circuit, block: Block, matrix: Array, states: States) -> States:
    if isinstance(block, WindowBlock):
        return apply_window(matrix, states, block.qubits, circuit.num_qubits)
    if block.prelude is not None:
        states = permute(states, block.prelude)
    for step in block.steps:
        states = apply_pair(step, pair_matrix(matrix, step.qubits), states)
    return states


def undo_block(circuit: Circuit, block: Block, matrix: Array, states: States) -> States:
    """Un-apply a block of unitaries."""
    if isinstance(block, WindowBlock):
        return apply_window(matrix.conj().T, states, block.qubits, circuit.num_qubits)
    for step in reversed(block.steps):
        states = unapply_pair(step, pair_matrix(matrix, step.qubits), states)
    if block.prelude is not None:
        states = permute(states, block.prelude.inverse())
    return states


def _unapply(circuit: Circuit, block: Block, matrix: Array, states: States) -> tuple[States, Array]:
    """Undo a block on (ψ, conjugate cotangent); return the cotangent of its matrix too."""
    num_qubits = circuit.num_qubits
    before = undo_block(circuit, block, matrix, states)
    if isinstance(block, WindowBlock):
        return before, cross_matrix(states[1].conj(), before[0], block.qubits, num_qubits)
    if not block.trainable:
        return before, jnp.zeros_like(matrix)
    cross = qubit_cross_matrices(states[1].conj(), states[0], num_qubits)
    return before, multiply(cross, matrix.conj())


def pair_matrix(matrices: Complex[Array, "n 2 2"], qubits: tuple[int, ...]) -> Array:
    """Matrix on one qubit or a pair of them."""
    if len(qubits) == 1:
        return matrices[qubits[0]]
    return jnp.kron(matrices[qubits[0]], matrices[qubits[1]])
