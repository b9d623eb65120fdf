"""Classical data into pure states. States come as columns: (2**num_qubits, batch).

Samples that do not fit `num_qubits` are a `CircuitError`: too many features for amplitudes, other
than one per qubit for angles, another shape for states.
"""

from math import prod

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from fedket.errors import CircuitError


def zero_state(num_qubits: int, batch: int = 1) -> Complex[Array, "dim batch"]:
    """|0…0⟩, `batch` times; `run_circuit` takes it to the precision of the angles."""
    return jnp.zeros((2**num_qubits, batch), jnp.complex64).at[0].set(1)


def amplitude_state(
    x: Float[Array, "batch *features"], num_qubits: int
) -> Complex[Array, "dim batch"]:
    """Amplitude encoding: flatten, pad with zeros to 2**num_qubits, normalise.

    Every other finite sample becomes x/‖x‖, however small or large its features are in their
    precision. A sample that is zero everywhere becomes the zero state |0…0⟩.
    """
    dim = 2**num_qubits
    flat = flat_features(x).astype(jnp.promote_types(x.dtype, jnp.float32))
    if flat.shape[1] > dim:
        raise CircuitError(
            f"amplitude encoding on {num_qubits} qubits holds {dim} features, got {flat.shape[1]}; "
            f"use {(flat.shape[1] - 1).bit_length()} qubits or fewer features"
        )
    amplitudes = jnp.pad(flat, ((0, 0), (0, dim - flat.shape[1]))).T
    amplitudes = amplitudes / _power_of_two(jnp.abs(amplitudes).max(axis=0))
    power = jnp.sum(amplitudes**2, axis=0)
    empty = power == 0
    amplitudes = amplitudes / jnp.sqrt(jnp.where(empty, 1, power))
    amplitudes = amplitudes.at[0].add(empty.astype(amplitudes.dtype))
    return amplitudes + 0j


def flat_features(x: Float[Array, "batch *features"]) -> Float[Array, "batch flat"]:
    """Samples with one axis of features, also where there are no samples."""
    return x.reshape(x.shape[0], prod(x.shape[1:]))


def _power_of_two(x: Float[Array, " batch"]) -> Float[Array, " batch"]:
    """The largest power of two that is at most `x`, 1 for 0: to divide by it changes no bit.

    At most 1 / tiny, since the reciprocal of a larger one would be flushed to zero.
    """
    mantissa = np.finfo(x.dtype).nmant
    words = jnp.uint64 if x.dtype == jnp.float64 else jnp.uint32
    exponent = jax.lax.bitcast_convert_type(x, words) >> mantissa << mantissa
    power = jax.lax.bitcast_convert_type(exponent, x.dtype)
    return jnp.where(x == 0, 1, jnp.minimum(power, 1 / np.finfo(x.dtype).tiny))


def given_state(x: Float[Array, "batch *features"], num_qubits: int) -> Complex[Array, "dim batch"]:
    """Quantum data: `x` are states of norm 1, shape (batch, 2**num_qubits, 2): real, imaginary."""
    expected = (2**num_qubits, 2)
    if x.shape[1:] != expected:
        raise CircuitError(
            f"encoding `state` takes states of {num_qubits} qubits, samples of shape {expected}, "
            f"got {x.shape[1:]}; choose the model's `num_qubits` as the data's"
        )
    return (x[..., 0] + 1j * x[..., 1]).T


def product_state(vectors: Complex[Array, "batch qubits 2"]) -> Complex[Array, "dim batch"]:
    """Tensor product of one-qubit states, qubit 0 most significant.

    Args:
        vectors: The two amplitudes of each qubit's state, shape (batch, num_qubits, 2).
    """
    psi = vectors[:, 0].T
    for qubit in range(1, vectors.shape[1]):
        factor = vectors[:, qubit].T
        psi = (psi[:, None] * factor[None]).reshape(2 * len(psi), vectors.shape[0])
    return psi


def angle_state(x: Float[Array, "batch *features"], num_qubits: int) -> Complex[Array, "dim batch"]:
    """Angle encoding: RY(x_i)|0⟩ on qubit i, `x` in radians."""
    half = _one_feature_per_qubit(x, num_qubits) / 2
    return product_state(jnp.stack([jnp.cos(half), jnp.sin(half)], axis=-1) + 0j)


def arctan_state(
    x: Float[Array, "batch *features"], num_qubits: int, *, huge: bool = True
) -> Complex[Array, "dim batch"]:
    """RZ(arctan x_i²) RY(arctan x_i)|0⟩ on qubit i (Chen and Yoo, arXiv:2103.12010).

    Args:
        x: Features.
        num_qubits: As many.
        huge: Whether features may be so large that their fourth power overflows, 4e9 in float32.
    """
    features = _one_feature_per_qubit(x, num_qubits)
    cos, sin = _half_arctan(features, huge)
    phase_cos, phase_sin = _half_arctan(features**2, huge)
    phase = phase_cos + 1j * phase_sin
    return product_state(jnp.stack([phase.conj() * cos, phase * sin], axis=-1))


def rotated_state(angles: Float[Array, "batch qubits kinds"]) -> Complex[Array, "dim batch"]:
    """RZ(b) RY(a)|0⟩ on every qubit, of its angles (a) or (a, b) in radians."""
    half = angles / 2
    cos, sin = jnp.cos(half[..., 0]) + 0j, jnp.sin(half[..., 0]) + 0j
    if angles.shape[2] == 2:
        phase = jnp.exp(1j * half[..., 1])
        cos, sin = phase.conj() * cos, phase * sin
    return product_state(jnp.stack([cos, sin], axis=-1))


def encoding_angles(
    encoding: str, x: Float[Array, "batch *features"], num_qubits: int
) -> Float[Array, "batch qubits kinds"]:
    """What `rotated_state` takes for the encodings `angle` and `arctan`."""
    features = _one_feature_per_qubit(x, num_qubits)
    if encoding == "angle":
        return features[..., None]
    return jnp.arctan(jnp.stack([features, features**2], axis=-1))


def _half_arctan(
    x: Float[Array, "..."], huge: bool
) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """Cosine and sine of arctan(x)/2; half-angle formulas vectorise where arctan does not."""
    cos_whole = 1 / jnp.sqrt(1 + x**2)
    cos_half = jnp.sqrt((1 + cos_whole) / 2)
    sin_whole = x * cos_whole
    if huge:  # where the square of x overflows, the sine is that of ±π/2
        sin_whole = jnp.where(cos_whole == 0, jnp.sign(x), sin_whole)
    return cos_half, sin_whole / (2 * cos_half)


def _one_feature_per_qubit(
    x: Float[Array, "batch *features"], num_qubits: int
) -> Float[Array, "batch qubits"]:
    flat = flat_features(x)
    if flat.shape[1] != num_qubits:
        raise CircuitError(
            f"angle encoding needs one feature per qubit: {num_qubits}, got {flat.shape[1]}"
        )
    return flat


ROTATIONS = {"angle": 1, "arctan": 2}
"""Encodings that rotate each qubit, and how many rotations that takes: see `encoding_angles`."""

ENCODINGS = {
    "amplitude": amplitude_state,
    "angle": angle_state,
    "arctan": arctan_state,
    "state": given_state,
}
