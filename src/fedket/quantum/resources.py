"""How entangled and how magic pure states are: two sums over the squares of all Pauli averages.

States come as columns, (2**num_qubits, batch). Both measures cost 4**num_qubits numbers per state.
"""

from functools import lru_cache

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

States = Complex[Array, "dim batch"]


def pauli_averages(psi: States) -> Float[Array, "paulis batch"]:
    """⟨P⟩ of every Pauli string P, shape (4**num_qubits, batch).

    The index of a string has base-4 digits 0, 1, 2, 3 for I, X, Y, Z, qubit 0 most significant.
    """
    num_qubits, batch = psi.shape[0].bit_length() - 1, psi.shape[1]
    rho = (psi[:, None] * psi.conj()[None]).reshape(*(2,) * (2 * num_qubits), batch)
    pairs = [axis for q in range(num_qubits) for axis in (q, num_qubits + q)]
    upper = num_qubits // 2  # one GEMM for each half of the qubits
    halves = rho.transpose(*pairs, 2 * num_qubits).reshape(
        4**upper, 4 ** (num_qubits - upper), batch
    )
    first, second = (jnp.asarray(_pauli_table(n), psi.dtype) for n in (upper, num_qubits - upper))
    letters = (first @ halves.reshape(4**upper, halves[0].size)).reshape(halves.shape)
    return jnp.einsum("qj,pjb->pqb", second, letters).reshape(4**num_qubits, batch).real


def concentratable_entanglement(psi: States) -> Float[Array, " batch"]:
    """Concentratable entanglement over all qubits (Beckey et al., arXiv:2104.06923, eq. 2).

    CE = 1 − 2⁻ⁿ Σ_S Tr ρ_S² over all 2ⁿ subsets S of the qubits, in [0, 1): 0 for product states,
    1/2 − 2⁻ⁿ for GHZ states. Purities are written as Pauli averages:
    CE = 1 − 4⁻ⁿ Σ_P 3^(n − weight of P) ⟨P⟩².
    """
    num_qubits = psi.shape[0].bit_length() - 1
    shares = jnp.asarray(_identity_shares(num_qubits), psi.real.dtype)
    return 1 - shares @ pauli_averages(psi) ** 2


def stabilizer_entropy(psi: States) -> Float[Array, " batch"]:
    """Stabilizer 2-Rényi entropy M₂ in bits (Leone et al., arXiv:2106.12587, eq. 1).

    M₂ = −log₂(2⁻ⁿ Σ_P ⟨P⟩⁴) ≥ 0: 0 exactly for stabilizer states, log₂(4/3) for each |T⟩.
    """
    return -jnp.log2((pauli_averages(psi) ** 4).sum(axis=0) / psi.shape[0])


@lru_cache(maxsize=16)
def _pauli_table(num_qubits: int) -> np.ndarray:
    """Row P, column of base-4 digits 2i + j: the coefficient of ρ_ij in Tr(ρP), which is P_ji."""
    one = np.array([[1, 0, 0, 1], [0, 1, 1, 0], [0, 1j, -1j, 0], [1, 0, 0, -1]])
    table = np.ones((1, 1))
    for _ in range(num_qubits):
        table = np.kron(table, one)
    return table


@lru_cache(maxsize=16)
def _identity_shares(num_qubits: int) -> np.ndarray:
    """3^(n − weight) / 4ⁿ of every Pauli string."""
    shares: np.ndarray = np.ones(1)
    for _ in range(num_qubits):
        shares = np.kron(shares, [0.75, 0.25, 0.25, 0.25])
    return shares
