"""What is measured at the end of a noisy circuit, and its values on the states that enter it.

A qubit read wrongly with e01 = P(1|0) and e10 = P(0|1) shows (1 − e01 − e10) P + (e10 − e01) I in
place of a Pauli P: read-out errors are part of the observable.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache, reduce

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from fedket.errors import CircuitError
from fedket.quantum.circuit import Circuit
from fedket.quantum.engine import match_arguments
from fedket.quantum.native import on_cpus
from fedket.quantum.noise import native
from fedket.quantum.noise.channels import PAULIS
from fedket.quantum.noise.heisenberg import Angles, States, evolve
from fedket.quantum.noise.kernels import Observables, butterflies, num_qubits_of
from fedket.quantum.noise.model import NoiseModel
from fedket.quantum.noise.plan import check_exact
from fedket.quantum.readout import PauliString, parse_pauli

Values = Float[Array, "batch values"]

TO_MATRIX = PAULIS.reshape(4, 4).T
"""One base-4 digit: Pauli coefficients -> matrix entries 00, 01, 10, 11."""


def expval(
    circuit: Circuit, noise: NoiseModel, params: Angles, psi: States, *observables: str
) -> Values:
    """Exact expectation values of Pauli strings after a noisy circuit.

    Differentiable in `params` and `psi` in reverse mode; for `jax.jit` and `jax.vmap`. The cost
    hardly depends on the batch.

    Args:
        circuit: The circuit, of at most 10 qubits; beyond 8 better for values than for gradients,
            which keep (layers × observables × 4**n) numbers.
        noise: What follows its gates, and how bits are read.
        params: Angles in radians, shape `circuit.params_shape`.
        psi: States of norm 1 that enter, as columns, shape (2**num_qubits, batch).
        observables: Pauli strings such as `"Z0"` or `"Z0 Z1"`, at least one.

    Returns:
        Values in [−1, 1], shape (batch, len(observables)).

    Raises:
        CircuitError: The circuit is too large, shapes do not fit it, or a string is none.
    """
    strings = [parse_pauli(text, circuit.num_qubits) for text in observables]
    if not strings:
        raise CircuitError('name an observable, for example "Z0"')
    return _values(circuit, noise, params, psi, pauli_coefficients(strings, circuit, noise))


def expval_parity(
    circuit: Circuit,
    noise: NoiseModel,
    params: Angles,
    psi: States,
    subsets: tuple[tuple[int, ...], ...],
) -> Values:
    """⟨Π_{q in S} Z_q⟩ for each subset S of qubits, as `expval` of strings of Zs alone."""
    strings = [dict.fromkeys(subset, "Z") for subset in subsets]
    return _values(circuit, noise, params, psi, pauli_coefficients(strings, circuit, noise))


def probabilities(
    circuit: Circuit, noise: NoiseModel, params: Angles, psi: States, outcomes: int
) -> Values:
    """Exact probabilities of the first basis states to be read after a noisy circuit.

    Args:
        circuit: As of `expval`.
        noise: As of `expval`.
        params: As of `expval`.
        psi: As of `expval`.
        outcomes: How many basis states, from |0…0⟩ on.

    Returns:
        Shape (batch, outcomes).
    """
    return _values(circuit, noise, params, psi, outcome_coefficients(outcomes, circuit, noise))


def _values(
    circuit: Circuit, noise: NoiseModel, params: Angles, psi: States, coefficients: np.ndarray
) -> Values:
    params, psi = match_arguments(circuit, params, psi)
    return quadratic_forms(
        evolve(circuit, noise, params, jnp.asarray(coefficients, params.dtype)), psi
    )


def pauli_coefficients(
    strings: Sequence[PauliString], circuit: Circuit, noise: NoiseModel
) -> np.ndarray:
    """Products of Paulis as they are read, shape (strings, 4**num_qubits)."""
    check_exact(circuit, noise)
    return np.stack(
        [
            _product(_read_pauli(string.get(q), noise.readout_of(q)) for q in _qubits(circuit))
            for string in strings
        ]
    )


def outcome_coefficients(outcomes: int, circuit: Circuit, noise: NoiseModel) -> np.ndarray:
    """Projectors on the first basis states as they are read, shape (outcomes, 4**num_qubits)."""
    check_exact(circuit, noise)
    n = circuit.num_qubits
    return np.stack(
        [
            _product(_read_bit(k >> (n - 1 - q) & 1, noise.readout_of(q)) for q in _qubits(circuit))
            for k in range(outcomes)
        ]
    )


def _qubits(circuit: Circuit) -> range:
    return range(circuit.num_qubits)


def _product(factors: Iterable[np.ndarray]) -> np.ndarray:
    return np.asarray(reduce(np.kron, factors))


def _read_pauli(name: str | None, error: tuple[float, float]) -> np.ndarray:
    """Coefficients of I, X, Y, Z of what is read in place of a Pauli, or of nothing."""
    if name is None:
        return np.array([1.0, 0, 0, 0])
    wrong_one, wrong_zero = error
    coefficients = np.array([wrong_zero - wrong_one, 0, 0, 0])
    coefficients["IXYZ".index(name)] = 1 - wrong_one - wrong_zero
    return coefficients


def _read_bit(bit: int, error: tuple[float, float]) -> np.ndarray:
    """Coefficients of the probability to read a bit."""
    return np.asarray((_read_pauli(None, error) + (1 - 2 * bit) * _read_pauli("Z", error)) / 2)


@jax.custom_vjp
def quadratic_forms(h: Observables, psi: States) -> Values:
    """⟨ψ_b|H_k|ψ_b⟩, shape (batch, K); differentiable in both.

    Args:
        h: Pauli coefficients, shape (K, 4**n).
        psi: States as columns, shape (2**n, batch).
    """
    return _forms_forward(h, psi)[0]


def _forms_forward(h: Observables, psi: States) -> tuple[Values, tuple[Observables, States]]:
    if not native.available():
        return _products(h, psi), (h, psi)
    return on_cpus(native.values, _products, h, psi), (h, psi)


def _products(h: Observables, psi: States) -> Values:
    return jnp.einsum("ib,kib->bk", psi.conj(), _apply_all(to_matrices(h), psi)).real


def _forms_backward(
    saved: tuple[Observables, States], cotangent: Values
) -> tuple[Observables, States]:
    h, psi = saved
    if native.available():
        to_h = on_cpus(native.averages, _averages, psi, cotangent)
    else:
        to_h = _averages(psi, cotangent)
    applied = _apply_all(to_matrices(h), psi)
    # JAX's cotangent of a real function of ψ is ∂/∂Re ψ − i ∂/∂Im ψ.
    return to_h, 2 * jnp.einsum("bk,kib->ib", cotangent.astype(psi.dtype), applied).conj()


def _averages(psi: States, cotangent: Values) -> Observables:
    weighted = (psi[None] * cotangent.T[:, None, :]).reshape(-1, psi.shape[1])
    rho = (weighted @ psi.conj().T).reshape(-1, len(psi), len(psi))  # Σ_b c_kb |ψ_b⟩⟨ψ_b|
    return pauli_averages(rho)


quadratic_forms.defvjp(_forms_forward, _forms_backward)


def _apply_all(matrices: Complex[Array, "k dim dim"], psi: States) -> Complex[Array, "k dim batch"]:
    count, dim, _ = matrices.shape
    return (matrices.reshape(-1, dim) @ psi).reshape(count, dim, -1)


def to_matrices(h: Observables) -> Complex[Array, "k dim dim"]:
    """Pauli coefficients (K, 4**n) -> Hermitian matrices (K, 2**n, 2**n)."""
    n = num_qubits_of(h)
    entries = butterflies(h.astype(jnp.result_type(h.dtype, jnp.complex64)), TO_MATRIX)
    return entries[:, _interleaved(n)].reshape(-1, 2**n, 2**n)


def pauli_averages(rho: Complex[Array, "k dim dim"]) -> Float[Array, "k strings"]:
    """Tr(P ρ) of every Pauli string P, of Hermitian matrices; shape (K, 4**n)."""
    flat = rho.reshape(len(rho), -1)
    back = np.argsort(_interleaved(num_qubits_of(flat))).astype(np.int32)
    return butterflies(flat[:, back], TO_MATRIX.conj().T).real


@lru_cache(maxsize=16)
def _interleaved(num_qubits: int) -> np.ndarray:
    """Where entry (row, column) stands among base-4 digits 2 row_q + column_q."""
    index = np.arange(2**num_qubits)
    spread = np.zeros_like(index)
    for bit in range(num_qubits):
        spread += ((index >> bit) & 1) << (2 * bit)
    places: np.ndarray = (2 * spread[:, None] + spread[None]).reshape(-1)
    return places.astype(np.int32)
