"""fedket's exact noise and PennyLane's mixed states, two independent simulators, one answer."""

import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml
import pytest
from pennylane import numpy as pnp

from fedket.quantum import ansatz, noise
from fedket.quantum.noise import channels
from fedket.quantum.noise.channels import PAULIS
from tests.quantum.circuits import random_inputs

MODEL = (
    noise.after(channels.depolarising(4 * 0.02 / 3), "Rot")
    + noise.after(channels.amplitude_damping(0.03), "Rot")
    + noise.after(channels.pauli({"ZX": 0.1}), "CNOT")
    + noise.after(channels.thermal_relaxation(300.0, 1e5, 8e4, 0.1), "CNOT")
)
ZX_ERROR = [0.9**0.5 * np.eye(4), 0.1**0.5 * np.kron(PAULIS[3], PAULIS[1])]


@pytest.mark.parametrize(("double", "tolerance"), [(True, 1e-10), (False, 1e-5)])
def test_values_and_gradients_agree_with_pennylane(double, tolerance):
    circuit = ansatz.chen_yoo(3, 2)
    angles, psi = random_inputs(circuit, 7, 1)

    @qml.qnode(qml.device("default.mixed", wires=3))
    def theirs(params):
        qml.StatePrep(psi[:, 0], wires=range(3))
        for layer in range(2):
            for gate in circuit.layer:
                if gate.name == "Rot":
                    qml.Rot(*[params[layer, slot] for slot in gate.slots], wires=gate.qubits)
                    qml.DepolarizingChannel(0.02, wires=gate.qubits)
                    qml.AmplitudeDamping(0.03, wires=gate.qubits)
                    continue
                qml.CNOT(wires=gate.qubits)
                qml.QubitChannel(ZX_ERROR, wires=gate.qubits)
                for qubit in gate.qubits:
                    qml.ThermalRelaxationError(0.1, 1e5, 8e4, 300, wires=qubit)
        return qml.expval(qml.PauliZ(0) @ qml.PauliX(2))

    def ours(params):
        return noise.expval(circuit, MODEL, params, jnp.asarray(psi, kind), "Z0 X2")[0, 0]

    kind = jnp.complex128 if double else jnp.complex64
    with jax.enable_x64(double):
        value, gradient = jax.jit(jax.value_and_grad(ours))(jnp.asarray(angles, kind(0).real.dtype))
    params = pnp.array(angles, requires_grad=True)
    np.testing.assert_allclose(value, theirs(params), atol=tolerance)
    np.testing.assert_allclose(gradient, qml.grad(theirs)(params), atol=tolerance)
