"""Gradients of every sample of a batch by itself, under exact noise.

Observables go back once and are kept, states go forward once: at a block, a sample's observable is
its cotangents' mix of all, Σ_k c_bk b_k, and the reduced cross matrices of it with the sample's own
state keep the batch axis. The cost of a block grows with the batch, which that of a sum does not.
"""

from collections.abc import Callable
from functools import partial

import jax
from jaxtyping import Array, Float

from fedket.quantum.circuit import Circuit
from fedket.quantum.engine import match_arguments
from fedket.quantum.noise.heisenberg import (
    Angles,
    Matrices,
    States,
    block_gradient,
    evolve_keeping,
    unitaries_of,
    with_noise,
)
from fedket.quantum.noise.kernels import Observables, apply_factors, permute
from fedket.quantum.noise.model import NoiseModel
from fedket.quantum.noise.observables import Values, quadratic_forms
from fedket.quantum.noise.plan import plan_noisy
from fedket.quantum.noise.schrodinger import Averages, averages_of

PerSample = Float[Array, "batch layers slots"]


def noisy_per_sample_vjp(
    circuit: Circuit, noise: NoiseModel, params: Angles, psi: States, observables: Observables
) -> tuple[Values, Callable[[Values], PerSample]]:
    """Values under noise, and the gradient of each sample with respect to the angles.

    Args:
        circuit: The circuit, of at most 8 qubits.
        noise: What follows its gates.
        params: Angles in radians, shape `circuit.params_shape`.
        psi: States that enter, as columns, shape (2**num_qubits, batch).
        observables: Pauli coefficients of what is read, shape (values, 4**num_qubits).

    Returns:
        Values, shape (batch, values), and a function from their cotangent to the gradients, whose
        sum over the batch is `jax.vjp`'s.

    Raises:
        CircuitError: The circuit is too large, or shapes do not fit it.
    """
    blocks = plan_noisy(circuit, noise)
    params, psi = match_arguments(circuit, params, psi)
    read = observables.astype(params.dtype)
    back, results = evolve_keeping(circuit, noise, params, read)

    def pull_back(cotangent: Values) -> PerSample:
        unitaries, to_angles = jax.vjp(partial(unitaries_of, blocks), params)

        def layer(
            a: Averages, inputs: tuple[list[Matrices], list[Matrices], list[Array]]
        ) -> tuple[Averages, list[Matrices]]:
            grads, kept = [], iter(inputs[2])
            for block, unitary, noisy in zip(blocks, *inputs[:2], strict=True):
                if block.move is not None:
                    a = permute(a, block.move)
                mixed = cotangent @ next(kept) if block.trainable else a
                of_sample = partial(_of_sample, partial(block_gradient, block, unitary))
                grads.append(jax.vmap(of_sample)(a, mixed))
                a = apply_factors(block, *noisy, a)
            return a, grads

        inputs = unitaries, with_noise(blocks, unitaries), results
        _, grads = jax.lax.scan(layer, averages_of(psi), inputs)
        # Leaves (layers, batch, ...): the scan put the layers first.
        gradients: Array = jax.vmap(lambda one: to_angles(one)[0], in_axes=1)(grads)
        return gradients

    return quadratic_forms(back, psi), pull_back


def _of_sample(
    gradient: Callable[..., Matrices], a: Float[Array, " strings"], b: Float[Array, " strings"]
) -> Matrices:
    return gradient(a[None], b[None])
