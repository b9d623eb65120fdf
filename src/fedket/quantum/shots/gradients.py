"""Values from finite shots, and their derivatives as hardware finds them.

A value is what the shots of one circuit gave. Its derivative is an estimate of its own, from other
circuits: shifted by a rule, or by SPSA.
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from fedket.quantum.measurement import Angles, Measurement, Values, expected_values
from fedket.quantum.shots.drawing import Inputs, draw_values, prepare
from fedket.quantum.shots.rules import with_own_slots
from fedket.quantum.shots.settings import Shots
from fedket.quantum.shots.shift import shift_in_one_pass, shift_one_by_one


def sampled_values(
    m: Measurement, shots: Shots, params: Angles, inputs: Inputs, rng: PRNGKeyArray
) -> Values:
    """Values from the shots of training, with the derivatives that `shots.gradient` finds.

    Args:
        m: What is run and read.
        shots: How often, and how derivatives are found.
        params: Angles in radians, shape `m.circuit.params_shape`.
        inputs: States that enter, as columns, whose own derivative stays exact; or angles of
            `rotated_state`, shape (batch, qubits, kinds), which are shifted like the circuit's.
        rng: Decides what is seen.
    """
    circuit, slots = with_own_slots(m.circuit)
    if slots != tuple(range(m.circuit.num_slots)):
        params = params[:, np.array(slots)]
    return _sampled(m._replace(circuit=circuit), shots, params, inputs, rng)


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def _sampled(
    m: Measurement, shots: Shots, params: Angles, inputs: Inputs, rng: PRNGKeyArray
) -> Values:
    return draw_values(m, shots.training, params, prepare(inputs), jax.random.fold_in(rng, 0))


def _forward(
    m: Measurement, shots: Shots, params: Angles, inputs: Inputs, rng: PRNGKeyArray
) -> tuple[Values, tuple[Angles, Inputs, PRNGKeyArray]]:
    return _sampled(m, shots, params, inputs, rng), (params, inputs, rng)


def _backward(
    m: Measurement, shots: Shots, saved: tuple[Angles, Inputs, PRNGKeyArray], cotangent: Values
) -> tuple[Angles, Inputs, None]:
    params, inputs, rng = saved
    rng = jax.random.fold_in(rng, 1)

    def exact(params: Angles, inputs: Inputs) -> Values:
        return expected_values(m, params, prepare(inputs), rng)

    if shots.gradient == "adjoint":
        return *jax.vjp(exact, params, inputs)[1](cotangent), None
    if shots.gradient == "spsa":
        grads = _spsa(m, shots, params, inputs, cotangent, rng)
    elif m.exact:
        grads = shift_in_one_pass(m, shots.training, params, inputs, cotangent, rng)
    else:
        grads = shift_one_by_one(m, shots.training, params, inputs, cotangent, rng)
    if inputs.ndim == 2:
        grads = grads[0], jax.vjp(partial(exact, params), inputs)[1](cotangent)[0]
    return *grads, None


_sampled.defvjp(_forward, _backward)


def _spsa(
    m: Measurement,
    shots: Shots,
    params: Angles,
    inputs: Inputs,
    cotangent: Values,
    rng: PRNGKeyArray,
) -> tuple[Angles, Inputs]:
    """Simultaneous perturbation (Spall 1992), of a circuit's values as in PennyLane's `spsa`.

    ĝ_i = [f(θ + cΔ) − f(θ − cΔ)] / (2cΔ_i), Δ_i = ±1, with c = `shots.spsa_step` throughout; the
    gains a_k are the optimiser's. A sample's encoding has signs of its own.
    """
    signs, others, *runs = jax.random.split(rng, 4)
    turn = jax.random.rademacher(signs, params.shape, params.dtype)
    moved = jnp.zeros_like(inputs)
    if inputs.ndim == 3:
        moved = jax.random.rademacher(others, inputs.shape, inputs.dtype)

    def at(step: float, rng: PRNGKeyArray) -> Values:
        psi = prepare(inputs + step * moved)
        return draw_values(m, shots.training, params + step * turn, psi, rng)

    c = shots.spsa_step
    slope = (at(c, runs[0]) - at(-c, runs[1])) / (2 * c)
    of_samples = jnp.sum(cotangent * slope, axis=1)
    grad = turn * of_samples.sum()
    return (grad, moved * of_samples[:, None, None]) if inputs.ndim == 3 else (grad, moved)
