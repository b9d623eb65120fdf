"""Exact noise by compiled kernels, if the package `fedket-native` is installed.

Same arguments, same results to rounding as the scans in `heisenberg` and the products in
`observables`, which remain the reference and what runs elsewhere. An observable goes through all
layers in one core's cache; Pauli strings lie 16 to a row, the last two qubits in vector lanes.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from fedket.quantum import native
from fedket.quantum.engine import fuse_gates
from fedket.quantum.noise.kernels import Observables, num_qubits_of
from fedket.quantum.noise.plan import Block, Factor, Move

NOTHING, MOVES, COUPLE = range(3)
"""How a block starts."""

LANE_QUBITS = 2
"""Last qubits, whose strings are a row's lanes."""

Angles = Float[Array, "layers slots"]
States = Complex[Array, "dim batch"]


def available() -> bool:
    """Whether the kernels are installed, by a package that has these."""
    return native.has("fedket_values")


def serves(blocks: tuple[Block, ...]) -> bool:
    """Whether kernels are there, and know all that the blocks consist of: gates on one qubit."""
    return available() and not any(block.pairs for block in blocks)


class _Program(NamedTuple):
    """Blocks as the kernels read them: `code` and `noise` are those of `native/src/noise.cc`."""

    code: np.ndarray
    noise: np.ndarray
    weights: np.ndarray


def take_back(blocks: tuple[Block, ...], params: Angles, observables: Observables) -> Observables:
    """Take observables back through all layers."""
    return _back(blocks, params, observables, 0)[0]


def take_back_keeping(
    blocks: tuple[Block, ...], params: Angles, observables: Observables
) -> tuple[Observables, list[Array]]:
    """As `take_back`, and what `take_forth` needs of each trainable block, (layers, K, 4**n)."""
    final, *kept = _back(blocks, params, observables, sum(block.trainable for block in blocks))
    return final, kept


def _back(
    blocks: tuple[Block, ...], params: Angles, observables: Observables, kept: int
) -> Sequence[Array]:
    program = _program(blocks, num_qubits_of(observables), back=True)
    shapes = [(len(params),) * (i > 0) + observables.shape for i in range(1 + kept)]
    results = [jax.ShapeDtypeStruct(shape, observables.dtype) for shape in shapes]
    return _call("fedket_observables_back", results, program, num_qubits_of(observables))(
        jnp.asarray(program.weights, observables.dtype), _unitaries(blocks, params), observables
    )


def take_forth(
    blocks: tuple[Block, ...], params: Angles, results: list[Array], cotangent: Observables
) -> tuple[Angles, Observables]:
    """Cotangents of the angles and of the observables, from what `take_back` kept."""
    program = _program(blocks, num_qubits_of(cotangent), back=False)
    unitaries, to_angles = jax.vjp(partial(_unitaries, blocks), params)
    shapes = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in (unitaries, cotangent)]
    grads, initial = _call("fedket_cotangents_forth", shapes, program, num_qubits_of(cotangent))(
        jnp.asarray(program.weights, cotangent.dtype), unitaries, cotangent, *results
    )
    return to_angles(grads)[0], initial


def _call(
    name: str, results: list[jax.ShapeDtypeStruct], program: _Program, num_qubits: int
) -> Callable[..., Sequence[Array]]:
    return partial(
        jax.ffi.ffi_call(name, results, vmap_method="expand_dims"),
        num_qubits=np.int64(num_qubits),
        code=program.code,
        noise=program.noise,
    )


def values(h: Observables, psi: States) -> Float[Array, "batch values"]:
    """⟨ψ_b|H_k|ψ_b⟩."""
    shape = jax.ShapeDtypeStruct((psi.shape[1], len(h)), h.dtype)
    found: Array = jax.ffi.ffi_call("fedket_values", shape, vmap_method="expand_dims")(h, psi)
    return found


def averages(psi: States, cotangent: Float[Array, "batch values"]) -> Observables:
    """Σ_b c_bk ⟨ψ_b|P|ψ_b⟩ of every Pauli string P."""
    shape = jax.ShapeDtypeStruct((cotangent.shape[1], len(psi) ** 2), cotangent.dtype)
    call = jax.ffi.ffi_call("fedket_averages", shape, vmap_method="expand_dims")
    found: Array = call(psi, cotangent)
    return found


def _unitaries(blocks: tuple[Block, ...], params: Angles) -> Complex[Array, "layers n 2 2"]:
    """Product of the gates of every factor that has any, in the blocks' order."""
    return fuse_gates(tuple(f.gates for block in blocks for f in block.singles if f.gates), params)


def _program(blocks: tuple[Block, ...], num_qubits: int, back: bool) -> _Program:
    """`back`: permutations are transposed."""
    code: list[int] = []
    noise, weights = [np.zeros(0)], [np.zeros((0, 4**num_qubits))]
    unitaries = 0
    for block in blocks:
        move, relaxed, factors = _start(block)
        couple = None if move is None else _couple(move, relaxed, num_qubits)
        if move is None:
            code += [NOTHING, block.trainable]
        elif couple is None:
            move = move.transposed() if back else move
            code += [
                MOVES,
                block.trainable,
                *(int(move.source[1 << b]) for b in range(2 * num_qubits)),
            ]
            weights.append(move.weight[None])
            factors = [*factors, *(_shear(qubit, relax) for qubit, relax in relaxed.items())]
        else:
            code += [COUPLE, block.trainable, *couple.qubits, *couple.source]
            noise.append(couple.numbers)
        code.append(len(factors))
        for factor in factors:
            code += [factor.qubits[0], unitaries if factor.gates else -1]
            unitaries += bool(factor.gates)
            noise.append(factor.noise.reshape(-1))
    return _Program(np.array(code, np.int64), np.concatenate(noise), np.concatenate(weights))


def _start(block: Block) -> tuple[Move | None, dict[int, float], list[Factor]]:
    """A block's permutation, relaxations right after it, and its other factors.

    Noise without gates that scales strings and moves I to Z, as relaxation does, is a factor of
    the permutation's weights and a shear: Z gains so many I, at a quarter of a product's cost.
    """
    if block.move is None:
        return None, {}, list(block.singles)
    weight, relaxed, factors = block.move.weight, {}, []
    for factor in block.singles:
        scale = factor.noise.diagonal()
        rest = factor.noise - np.diag(scale)
        rest[3, 0] = 0.0
        if factor.gates or rest.any():
            factors.append(factor)
            continue
        qubit = factor.qubits[0]
        weight = (weight.reshape(4**qubit, 4, -1) * scale[:, None]).reshape(-1)
        relaxed[qubit] = float(factor.noise[3, 0])
    return Move(block.move.source, weight), relaxed, factors


def _shear(qubit: int, relax: float) -> Factor:
    noise = np.eye(4)
    noise[3, 0] = relax
    return Factor((qubit,), (), noise)


class _Couple(NamedTuple):
    """A permutation of two qubits' strings alone, with relaxation: (weights, two shears)."""

    qubits: tuple[int, int]
    source: list[int]
    numbers: np.ndarray


def _couple(move: Move, relaxed: dict[int, float], num_qubits: int) -> _Couple | None:
    """A permutation of the strings of two qubits that are no lanes, if it is one."""
    index = np.arange(4**num_qubits)
    moved = np.bitwise_or.reduce(index ^ move.source)
    touched = {q for q in range(num_qubits) if moved >> 2 * (num_qubits - 1 - q) & 3} | {*relaxed}
    if len(touched) != 2 or max(touched) >= num_qubits - LANE_QUBITS:
        return None
    first, second = sorted(touched)
    shifts = [2 * (num_qubits - 1 - qubit) for qubit in (first, second)]
    local = (index >> shifts[0] & 3) * 4 + (index >> shifts[1] & 3)
    places = [(j // 4 << shifts[0]) | (j % 4 << shifts[1]) for j in range(16)]
    weight = move.weight[places]
    if not np.array_equal(weight[local], move.weight):
        return None
    source = [int(move.source[place]) for place in places]
    return _Couple(
        (first, second),
        [(s >> shifts[0] & 3) * 4 + (s >> shifts[1] & 3) for s in source],
        np.array([*weight, relaxed.get(first, 0.0), relaxed.get(second, 0.0)]),
    )
