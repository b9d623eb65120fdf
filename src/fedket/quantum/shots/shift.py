"""Parameter-shift gradients of finite shots.

Up to 8 qubits shifted values come from one pass, and each is drawn by itself with its own
probability; on hardware, values that are read from the same shots are correlated. Beyond, each
shifted circuit is simulated and sampled.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from fedket.quantum.measurement import Angles, Measurement, Values, observables
from fedket.quantum.noise.model import NoiseModel
from fedket.quantum.noise.observables import quadratic_forms
from fedket.quantum.shots.drawing import Inputs, draw_each, draw_values, prepare
from fedket.quantum.shots.rules import TWO_TERMS, shift_rules
from fedket.quantum.shots.shifted import pass_through, shifted_values


def shift_in_one_pass(
    m: Measurement,
    shots: int,
    params: Angles,
    inputs: Inputs,
    cotangent: Values,
    rng: PRNGKeyArray,
) -> tuple[Angles, Inputs]:
    """Derivatives by shifted values, which one pass gives together, drawn one by one.

    Args:
        m: What is run and read, on up to 8 qubits; a slot serves one gate.
        shots: Of each shifted circuit; 0 for infinitely many.
        params: Angles in radians.
        inputs: As of `sampled_values`; the derivative of states is not worked out.
        cotangent: Of the values.
        rng: Decides what is seen.
    """
    noise = m.noise or NoiseModel()
    read = observables(m).astype(params.dtype)
    passed = pass_through(m.circuit, noise, params, prepare(inputs), read)
    grad = jnp.zeros_like(params)
    for place, (rule, slots) in enumerate(shift_rules(m.circuit).items()):
        values = shifted_values(m.circuit, noise, params, passed, slots, rule.shifts)
        seen = draw_each(m, shots, values, jax.random.fold_in(rng, place))
        factors = jnp.asarray(rule.factors, params.dtype)
        grad = grad.at[:, np.array(slots)].set(
            jnp.einsum("t,tslbv,bv->ls", factors, seen, cotangent)
        )
    if inputs.ndim == 2:
        return grad, inputs
    units = _input_units(inputs)

    def shifted(shift: float) -> Float[Array, "angles batch values"]:
        psi = jax.vmap(lambda unit: prepare(inputs + shift * unit))(units)
        columns = jnp.moveaxis(psi, 0, 1).reshape(psi.shape[1], -1)
        return quadratic_forms(passed.heisenberg, columns).reshape(len(units), len(inputs), -1)

    values = jnp.stack([shifted(shift) for shift in TWO_TERMS.shifts])
    seen = draw_each(m, shots, values, jax.random.fold_in(rng, 100))
    slopes = jnp.einsum("t,tabv,bv->ba", jnp.asarray(TWO_TERMS.factors), seen, cotangent)
    return grad, slopes.reshape(inputs.shape)


def shift_one_by_one(
    m: Measurement,
    shots: int,
    params: Angles,
    inputs: Inputs,
    cotangent: Values,
    rng: PRNGKeyArray,
) -> tuple[Angles, Inputs]:
    """The same of circuits of any size: each shifted circuit is simulated."""
    terms = [
        (layer, slot, shift, factor)
        for rule, slots in shift_rules(m.circuit).items()
        for shift, factor in zip(rule.shifts, rule.factors, strict=True)
        for layer in range(m.circuit.num_layers)
        for slot in slots
    ]
    layers, slots, shifts, factors = (np.array(column) for column in zip(*terms, strict=True))
    psi = prepare(inputs)

    def add(grad: Angles, term: tuple[Array, ...]) -> tuple[Angles, None]:
        number, layer, slot, shift, factor = term
        turned = params.at[layer, slot].add(shift.astype(params.dtype))
        seen = draw_values(m, shots, turned, psi, jax.random.fold_in(rng, number))
        slope = factor.astype(params.dtype) * jnp.sum(cotangent * seen)
        return grad.at[layer, slot].add(slope), None

    numbered = tuple(map(jnp.asarray, (np.arange(len(terms)), layers, slots, shifts, factors)))
    grad, _ = jax.lax.scan(add, jnp.zeros_like(params), numbered)
    if inputs.ndim == 2:
        return grad, inputs
    numbers = len(terms) + np.arange(2 * inputs[0].size).reshape(-1, 2)

    def slope_of(term: tuple[Array, Array]) -> Float[Array, " batch"]:
        unit, number = term
        total = jnp.zeros(len(inputs), params.dtype)
        for shift, factor, one in zip(*TWO_TERMS, number, strict=True):
            rng_one = jax.random.fold_in(rng, one)
            seen = draw_values(m, shots, params, prepare(inputs + shift * unit), rng_one)
            total += factor * jnp.sum(cotangent * seen, axis=1)
        return total

    slopes = jax.lax.map(slope_of, (_input_units(inputs), numbers))
    return grad, slopes.T.reshape(inputs.shape)


def _input_units(inputs: Inputs) -> Float[Array, "angles qubits kinds"]:
    """One for each angle of a sample's encoding."""
    size = inputs[0].size
    return jnp.eye(size, dtype=inputs.dtype).reshape(size, *inputs.shape[1:])
