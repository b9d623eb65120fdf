"""Quantum Fisher information: against finite differences, PennyLane and known states."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml
import pytest

from fedket.quantum import ansatz
from fedket.quantum.circuit import make_circuit
from fedket.quantum.encoding import zero_state
from fedket.quantum.engine import run_circuit
from fedket.quantum.quantum_fisher import quantum_fisher
from tests.quantum.circuits import CIRCUITS, random_inputs


@pytest.mark.parametrize("name", ["chen_yoo, ring by gather", "controlled rotations", "one qubit"])
def test_it_is_the_loss_of_fidelity_of_small_steps(name):
    # |⟨ψ(θ)|ψ(θ + d)⟩|² = 1 − dᵀFd/4 + O(d³) (Meyer 2021, arXiv:2103.15191, eq. 9).
    circuit, step = CIRCUITS[name], 1e-4
    angles, psi = random_inputs(circuit, 3, 2)
    directions = np.random.default_rng(4).normal(size=(4, *angles.shape))
    with jax.enable_x64(True):
        run = jax.jit(jax.vmap(partial(run_circuit, circuit), in_axes=(0, None)))
        fisher = jax.jit(partial(quantum_fisher, circuit))(jnp.asarray(angles), jnp.asarray(psi))
        ahead, behind = (
            run(jnp.asarray(angles + sign * step / 2 * directions), jnp.asarray(psi))
            for sign in (1, -1)
        )
    # Symmetric differences: ψ(+) and ψ(−) are a whole step apart.
    fidelity = np.abs(np.einsum("dkb,dkb->db", ahead.conj(), behind)) ** 2
    flat = directions.reshape(4, -1)
    expected = np.einsum("di,bij,dj->db", flat, fisher, flat) / 4
    np.testing.assert_allclose((1 - fidelity) / step**2, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(fisher, np.swapaxes(fisher, 1, 2), atol=1e-12)
    assert np.linalg.eigvalsh(fisher).min() > -1e-10


def test_it_is_four_times_pennylanes_metric_tensor():
    circuit = ansatz.qunetqfl(3, 2)
    angles, psi = random_inputs(circuit, 5, 1)

    @qml.qnode(qml.device("default.qubit", wires=3))
    def node(weights):
        qml.StatePrep(psi[:, 0], wires=range(3))
        for layer in range(2):
            for gate in circuit.layer:
                weight = [weights[layer, slot] for slot in gate.slots]
                getattr(qml, gate.name)(*weight, wires=gate.qubits)
        return qml.expval(qml.PauliZ(0))

    metric = qml.adjoint_metric_tensor(node)(qml.numpy.array(angles, requires_grad=True))
    with jax.enable_x64(True):
        fisher = jax.jit(partial(quantum_fisher, circuit))(jnp.asarray(angles), jnp.asarray(psi))
    size = circuit.num_params
    np.testing.assert_allclose(fisher[0], 4 * np.reshape(metric, (size, size)), atol=1e-10)


def test_known_circuits_have_known_information():
    # RX on |0⟩ has variance 1 of its generator X/2, times 4: 1. RZ only adds a phase to |0⟩.
    circuit = make_circuit(2, [("RX", 0), ("RZ", 1)], 1)
    fisher = jax.jit(partial(quantum_fisher, circuit))(jnp.ones((1, 2)), zero_state(2))
    np.testing.assert_allclose(fisher[0], [[1, 0], [0, 0]], atol=1e-6)
