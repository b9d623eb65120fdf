"""Expectation values of noisy circuits, exactly: observables go back through the circuit.

The Heisenberg picture in the Pauli basis: K observables are real arrays of 4**n coefficients,
whatever the batch. Values are ⟨ψ|H_k|ψ⟩ of the states that enter the circuit. The backward pass
keeps each trainable block's result b; with a, the cotangent before the block's matrices M = N R,
and C_ij = Σ a_i b_j over all other qubits, the gradient of R is R Cᵀ, since R is orthogonal. No
matrix is inverted, so a channel may destroy everything.
"""

from functools import lru_cache, partial, reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Complex, Float

from fedket.quantum.circuit import Circuit
from fedket.quantum.engine import fuse_gates
from fedket.quantum.native import on_cpus
from fedket.quantum.noise import native
from fedket.quantum.noise.channels import pauli_strings
from fedket.quantum.noise.kernels import (
    Observables,
    apply_factors,
    cross_matrices,
    pair_cross_matrix,
    permute,
)
from fedket.quantum.noise.model import NoiseModel
from fedket.quantum.noise.plan import Block, Factor, plan_noisy
from fedket.quantum.reference import gate_matrix

Angles = Float[Array, "layers slots"]
States = Complex[Array, "dim batch"]


class Matrices(NamedTuple):
    """A block's transfer matrices: (…, singles, 4, 4) and (…, pairs, 16, 16)."""

    singles: Array
    pairs: Array


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def evolve(
    circuit: Circuit, noise: NoiseModel, params: Angles, observables: Observables
) -> Observables:
    """Take observables back to the beginning of a noisy circuit.

    Args:
        circuit: The circuit, of at most `MAX_HEISENBERG_QUBITS` qubits.
        noise: What follows its gates.
        params: Angles in radians, shape `circuit.params_shape`.
        observables: Pauli coefficients, shape (K, 4**num_qubits), in the precision of `params`.

    Returns:
        Coefficients of the same shape: what to measure on the states that enter.
    """
    blocks = plan_noisy(circuit, noise)

    def scan(params: Angles, observables: Observables) -> Observables:
        return _scan_back(blocks, params, observables)[0]

    if not native.serves(blocks):
        return scan(params, observables)
    compiled = partial(native.take_back, blocks)
    final: Observables = on_cpus(compiled, scan, params, observables)
    return final


def evolve_keeping(
    circuit: Circuit, noise: NoiseModel, params: Angles, observables: Observables
) -> tuple[Observables, list[Array]]:
    """As `evolve`, and the result of each trainable block's matrices, (layers, K, 4**n) each."""
    return _scan_back(plan_noisy(circuit, noise), params, observables)


def _evolve_forward(
    circuit: Circuit, noise: NoiseModel, params: Angles, observables: Observables
) -> tuple[Observables, tuple[Angles, list[Array]]]:
    blocks = plan_noisy(circuit, noise)
    scan = partial(_scan_back, blocks)
    if native.serves(blocks):
        compiled = partial(native.take_back_keeping, blocks)
        final, results = on_cpus(compiled, scan, params, observables)
    else:
        final, results = scan(params, observables)
    return final, (params, results)


def _scan_back(
    blocks: tuple[Block, ...], params: Angles, observables: Observables
) -> tuple[Observables, list[Array]]:
    def layer(v: Observables, matrices: list[Matrices]) -> tuple[Observables, list[Array]]:
        results = []
        for block, (singles, pairs) in zip(reversed(blocks), reversed(matrices), strict=True):
            v = apply_factors(block, jnp.swapaxes(singles, 1, 2), jnp.swapaxes(pairs, 1, 2), v)
            if block.trainable:
                results.append(v)
            if block.move is not None:
                v = permute(v, block.move.transposed())
        return v, results[::-1]

    return lax.scan(
        layer, observables, with_noise(blocks, unitaries_of(blocks, params)), reverse=True
    )


def _evolve_backward(
    circuit: Circuit,
    noise: NoiseModel,
    saved: tuple[Angles, list[Array]],
    cotangent: Observables,
) -> tuple[Angles, Observables]:
    blocks = plan_noisy(circuit, noise)
    scan = partial(_scan_forth, blocks)
    if not native.serves(blocks):
        return scan(*saved, cotangent)
    compiled = partial(native.take_forth, blocks)
    found: tuple[Angles, Observables] = on_cpus(compiled, scan, *saved, cotangent)
    return found


def _scan_forth(
    blocks: tuple[Block, ...], params: Angles, results: list[Array], cotangent: Observables
) -> tuple[Angles, Observables]:
    """Cotangents of the angles and of the observables."""
    unitaries, pull_back = jax.vjp(partial(unitaries_of, blocks), params)

    def layer(
        a: Observables, inputs: tuple[list[Matrices], list[Matrices], list[Array]]
    ) -> tuple[Observables, list[Matrices]]:
        grads, kept = [], iter(inputs[2])
        for block, unitary, noisy in zip(blocks, *inputs[:2], strict=True):
            if block.move is not None:
                a = permute(a, block.move)
            grads.append(block_gradient(block, unitary, a, next(kept) if block.trainable else a))
            a = apply_factors(block, *noisy, a)
        return a, grads

    inputs = unitaries, with_noise(blocks, unitaries), results
    a, grads = lax.scan(layer, cotangent, inputs)
    return pull_back(grads)[0], a


evolve.defvjp(_evolve_forward, _evolve_backward)


def block_gradient(block: Block, unitary: Matrices, a: Observables, b: Observables) -> Matrices:
    """Cotangents R Cᵀ of a block's unitaries."""
    singles, pairs = jax.tree.map(jnp.zeros_like, unitary)
    if block.trainable and block.singles:
        cross = cross_matrices(a, b, [f.qubits[0] for f in block.singles])
        singles = jnp.einsum("nik,njk->nij", unitary.singles, cross)
    if block.trainable and block.pairs:
        cross = jnp.stack([pair_cross_matrix(a, b, f.qubits) for f in block.pairs])
        pairs = jnp.einsum("nik,njk->nij", unitary.pairs, cross)
    return Matrices(singles, pairs)


def unitaries_of(blocks: tuple[Block, ...], params: Angles) -> list[Matrices]:
    """Transfer matrices R of every block's gates, for all layers at once."""
    return [
        Matrices(
            transfer(fuse_gates(tuple(f.gates for f in block.singles), params)),
            _pair_transfers(block.pairs, params),
        )
        for block in blocks
    ]


def _pair_transfers(factors: tuple[Factor, ...], params: Angles) -> Float[Array, "layers n 16 16"]:
    """Transfer matrices of all gates on each pair."""
    dtype = jnp.result_type(params.dtype, jnp.complex64)
    start = jnp.broadcast_to(jnp.eye(4, dtype=dtype), (params.shape[0], 4, 4))
    products = [
        reduce(lambda total, gate: gate_matrix(gate, params) @ total, factor.gates, start)
        for factor in factors
    ]
    stacked = jnp.stack(products, axis=1) if products else start[:, None][:, :0]
    return transfer(stacked)


def with_noise(blocks: tuple[Block, ...], unitaries: list[Matrices]) -> list[Matrices]:
    """M = N R of every block."""
    return [
        Matrices(
            *(
                _times(np.array([f.noise for f in factors]).reshape(matrices.shape[1:]), matrices)
                for factors, matrices in zip((block.singles, block.pairs), unitary, strict=True)
            )
        )
        for block, unitary in zip(blocks, unitaries, strict=True)
    ]


def _times(
    noise: np.ndarray, matrices: Float[Array, "layers n m m"]
) -> Float[Array, "layers n m m"]:
    if (noise == np.eye(noise.shape[-1])).all():
        return matrices
    return jnp.einsum("nij,lnjk->lnik", jnp.asarray(noise, matrices.dtype), matrices)


def transfer(unitary: Complex[Array, "*batch d d"]) -> Float[Array, "*batch d*d d*d"]:
    """Transfer matrices of unitaries on one or two qubits, as one GEMM of U ⊗ U*."""
    dim = unitary.shape[-1]
    doubled = unitary[..., :, None, :, None] * unitary.conj()[..., None, :, None, :]
    flat = doubled.reshape(*unitary.shape[:-2], dim**4) @ _to_transfer(dim).astype(unitary.dtype)
    return flat.real.reshape(*unitary.shape[:-2], dim**2, dim**2)


@lru_cache(maxsize=2)
def _to_transfer(dim: int) -> np.ndarray:
    """R_ij = Σ_xyzw Tr-coefficients · U_xy U*_wz: a matrix from (x, w, y, z) to (i, j)."""
    strings = pauli_strings(dim.bit_length() - 1)
    # Tr(P_i U P_j U†) = Σ P_i[w, x] U[x, y] P_j[y, z] U*[w, z]
    table = np.einsum("iwx,jyz->xwyzij", strings, strings) / dim
    return np.asarray(table.reshape(dim**4, dim**4))
