"""Circuits by name against the libraries whose conventions they follow, and what they promise."""

import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml
import pytest

from fedket.errors import CircuitError
from fedket.quantum import ansatz
from fedket.quantum.encoding import zero_state
from fedket.quantum.engine import circuit_unitary, run_circuit
from fedket.quantum.readout import expval
from tests.quantum.circuits import random_inputs


def unitary_of(circuit, angles):
    return jax.jit(circuit_unitary, static_argnums=0)(circuit, jnp.asarray(angles))


@pytest.mark.parametrize(("num_qubits", "num_layers"), [(1, 2), (2, 3), (3, 4), (4, 2), (4, 5)])
def test_strongly_entangling_layers_are_pennylanes(num_qubits, num_layers):
    circuit = ansatz.strongly_entangling(num_qubits, num_layers)
    assert circuit.num_params == 3 * num_qubits * num_layers
    with jax.enable_x64(True):
        angles, _ = random_inputs(circuit, 0, 1)
        found = unitary_of(circuit, angles)
        weights = angles.reshape(num_layers, num_qubits, 3)
        expected = qml.matrix(
            qml.StronglyEntanglingLayers(weights, wires=range(num_qubits)),
            wire_order=range(num_qubits),
        )
        np.testing.assert_allclose(found, expected, atol=1e-10)


@pytest.mark.parametrize("num_qubits", [2, 4])
@pytest.mark.parametrize(
    ("make", "entanglement"),
    [(ansatz.two_local, "linear"), (ansatz.two_local_ring, "circular")],
)
def test_two_local_circuits_are_qiskits(make, entanglement, num_qubits):
    pytest.importorskip("qiskit")
    from qiskit.circuit import library
    from qiskit.quantum_info import Operator

    circuit = make(num_qubits, 3)
    theirs = library.efficient_su2(
        num_qubits, reps=3, entanglement=entanglement, skip_final_rotation_layer=True
    )
    with jax.enable_x64(True):
        angles, _ = random_inputs(circuit, 0, 1)
        found = unitary_of(circuit, angles)
        # Qiskit's qubit 0 is the least significant bit.
        expected = Operator(theirs.assign_parameters(angles.ravel()).reverse_bits()).data
        np.testing.assert_allclose(found, expected, atol=1e-10)


def qcnn_in_pennylane(num_qubits, num_layers, angles):
    """⟨Z⟩ of the qubits left, every pooled qubit measured and the outcome acted on."""

    @qml.qnode(qml.device("default.qubit", wires=2 * num_qubits))
    def values():
        qubits = list(range(num_qubits))
        for layer in range(num_layers):
            a = angles[17 * layer : 17 * (layer + 1)]
            n = len(qubits)
            pairs = [(i, i + 1) for i in range(0, n, 2)]
            pairs += [(i, (i + 1) % n) for i in range(1, n, 2)] if n > 2 else []
            for i, j in pairs:
                p, q = qubits[i], qubits[j]
                qml.Rot(*a[0:3], wires=p)
                qml.Rot(*a[3:6], wires=q)
                qml.CNOT(wires=[q, p])
                qml.RZ(a[6], wires=p)
                qml.RY(a[7], wires=q)
                qml.CNOT(wires=[p, q])
                qml.RY(a[8], wires=q)
                qml.CNOT(wires=[q, p])
                qml.Rot(*a[9:12], wires=p)
                qml.Rot(*a[12:15], wires=q)
            kept, pooled = qubits[: n // 2], qubits[n // 2 :]
            for sink, source in zip(kept, pooled, strict=True):
                outcome = qml.measure(source)
                qml.cond(outcome, qml.RZ)(a[15], wires=sink)
                qml.cond(~outcome, qml.RX)(a[16], wires=sink)
            qubits = kept
        return [qml.expval(qml.PauliZ(q)) for q in qubits]

    return values()


@pytest.mark.parametrize(("num_qubits", "num_layers"), [(2, 1), (4, 1), (4, 2)])
def test_a_qcnn_pools_as_measured_qubits_would(num_qubits, num_layers):
    circuit = ansatz.qcnn(num_qubits, num_layers)
    left = [f"Z{q}" for q in range(num_qubits >> num_layers)]
    with jax.enable_x64(True):
        angles, _ = random_inputs(circuit, 3, 1)
        psi = jax.jit(run_circuit, static_argnums=0)(
            circuit, jnp.asarray(angles), zero_state(num_qubits)
        )
        expected = qcnn_in_pennylane(num_qubits, num_layers, angles[0])
        np.testing.assert_allclose(expval(psi, *left)[0], expected, atol=1e-10)


@pytest.mark.parametrize("num_qubits", [2, 4, 8, 16])
def test_a_qcnn_has_17_angles_for_each_halving(num_qubits):
    layers = num_qubits.bit_length() - 1
    assert ansatz.qcnn(num_qubits, layers).params_shape == (1, 17 * layers)


@pytest.mark.parametrize(
    ("size", "message"),
    [((6, 1), "2, 4, 8, …, got 6"), ((1, 1), "got 1"), ((8, 4), "at most 3 times.*got 4")],
)
def test_a_qcnn_that_cannot_halve_its_qubits_is_refused(size, message):
    with pytest.raises(CircuitError, match=message):
        ansatz.qcnn(*size)
