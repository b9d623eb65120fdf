"""All shifted values of a circuit of up to 8 qubits from one pass, noise or none.

A value is linear in the transfer matrix R of every gate: f(θ_j + s) = f + ⟨G, R(θ_j + s) − R(θ_j)⟩.
Observables go back through the circuit once and are kept; states go forward once and meet them.
With C_ij = Σ a_i b_j over all other qubits, a the state before a block's matrices M = N R and b
the observable after Mᵀ, G = R Cᵀ, and so f(θ_j + s) − f = Tr C (Rᵀ R(θ_j + s) − 1): no shifted
circuit is run.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from fedket.quantum.circuit import Circuit
from fedket.quantum.noise.heisenberg import (
    Angles,
    Matrices,
    States,
    evolve_keeping,
    unitaries_of,
    with_noise,
)
from fedket.quantum.noise.kernels import Observables, apply_factors, num_qubits_of, permute
from fedket.quantum.noise.model import NoiseModel
from fedket.quantum.noise.observables import quadratic_forms
from fedket.quantum.noise.plan import Block, plan_noisy
from fedket.quantum.noise.schrodinger import Averages, averages_of

Shifted = Float[Array, "shifts chosen layers batch values"]


class Passed(NamedTuple):
    """What a circuit leaves when observables have gone back and states forward.

    Attributes:
        unitaries: Transfer matrices R of each trainable block.
        crosses: C of the same, (layers, batch, values, factors, m, m).
        values: At the angles themselves, (batch, values).
        heisenberg: What to measure on the states that enter, (values, 4**n).
    """

    unitaries: list[Matrices]
    crosses: list[Matrices]
    values: Float[Array, "batch values"]
    heisenberg: Observables


def pass_through(
    circuit: Circuit, noise: NoiseModel, params: Angles, psi: States, observables: Observables
) -> Passed:
    """Send observables back and states forward.

    Args:
        circuit: The circuit, of at most 8 qubits.
        noise: What follows its gates.
        params: Angles in radians, shape `circuit.params_shape`.
        psi: States that enter, as columns, shape (2**num_qubits, batch).
        observables: Pauli coefficients of the values, shape (values, 4**num_qubits).
    """
    blocks = plan_noisy(circuit, noise)
    heisenberg, results = evolve_keeping(circuit, noise, params, observables)
    unitaries = unitaries_of(blocks, params)

    def layer(
        a: Averages, inputs: tuple[list[Matrices], list[Array]]
    ) -> tuple[Averages, list[Matrices]]:
        found, kept = [], iter(inputs[1])
        for block, matrices in zip(blocks, inputs[0], strict=True):
            if block.move is not None:
                a = permute(a, block.move)
            if block.trainable:
                found.append(_crosses(block, a, next(kept)))
            a = apply_factors(block, *matrices, a)
        return a, found

    inputs = with_noise(blocks, unitaries), results
    _, crosses = jax.lax.scan(layer, averages_of(psi), inputs)
    return Passed(
        _trainable(blocks, unitaries), crosses, quadratic_forms(heisenberg, psi), heisenberg
    )


def shifted_values(
    circuit: Circuit,
    noise: NoiseModel,
    params: Angles,
    passed: Passed,
    slots: Sequence[int],
    shifts: Sequence[float],
) -> Shifted:
    """Values with one angle shifted, of every layer.

    Args:
        circuit: As of `pass_through`, a slot serving one gate.
        noise: As of `pass_through`.
        params: As of `pass_through`.
        passed: What it returned.
        slots: Which angles of each layer.
        shifts: By how much, radians.
    """
    blocks = plan_noisy(circuit, noise)

    def differences(shift: Array, slot: Array) -> Float[Array, "layers batch values"]:
        turned = _trainable(blocks, unitaries_of(blocks, params.at[:, slot].add(shift)))
        parts = jax.tree.map(_difference, passed.unitaries, turned, passed.crosses)
        total: Array = sum(jax.tree.leaves(parts), start=jnp.zeros((), params.dtype))
        return total

    by_slot = jax.vmap(differences, in_axes=(None, 0))
    found = jax.vmap(by_slot, in_axes=(0, None))(
        jnp.asarray(shifts, params.dtype), jnp.asarray(slots)
    )
    return passed.values + found


def _difference(
    unitary: Float[Array, "layers n m m"],
    turned: Float[Array, "layers n m m"],
    cross: Float[Array, "layers batch values n m m"],
) -> Float[Array, "layers batch values"]:
    """Tr C (Rᵀ R' − 1), over all factors of a block."""
    change = jnp.einsum("lnki,lnkj->lnij", unitary, turned) - jnp.eye(unitary.shape[-1])
    return jnp.einsum("lnij,lbvnji->lbv", change, cross)


def _trainable(blocks: tuple[Block, ...], matrices: list[Matrices]) -> list[Matrices]:
    return [m for block, m in zip(blocks, matrices, strict=True) if block.trainable]


def _crosses(block: Block, a: Averages, b: Observables) -> Matrices:
    """C of every factor, of every state with every observable."""
    size = a.shape[0], b.shape[0]
    singles = [_cross(a, b, factor.qubits) for factor in block.singles]
    pairs = [_cross(a, b, factor.qubits) for factor in block.pairs]
    return Matrices(
        jnp.stack(singles, axis=2) if singles else jnp.zeros((*size, 0, 4, 4), a.dtype),
        jnp.stack(pairs, axis=2) if pairs else jnp.zeros((*size, 0, 16, 16), a.dtype),
    )


def _cross(
    a: Averages, b: Observables, qubits: tuple[int, ...]
) -> Float[Array, "batch values m m"]:
    """C_ij = Σ a_i b_j of each pair of rows, as one GEMM."""
    n, size = num_qubits_of(a), 4 ** len(qubits)
    left, right = (
        jnp.moveaxis(
            rows.reshape(len(rows), *(4,) * n), [1 + q for q in qubits], range(1, 1 + len(qubits))
        ).reshape(len(rows) * size, -1)
        for rows in (a, b)
    )
    total = (left @ right.T).reshape(len(a), size, len(b), size)
    return total.transpose(0, 2, 1, 3)
