"""fedket and PennyLane, two independent simulators, one answer: values and gradients."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml
import pytest
from pennylane import numpy as pnp

from fedket.quantum.engine import run_circuit
from fedket.quantum.readout import expval
from tests.quantum.circuits import CIRCUITS, random_inputs

GATES = {
    **{name: getattr(qml, name) for name in ("RX", "RY", "RZ", "Rot", "U3", "CNOT", "CZ", "SWAP")},
    **{"CRX": qml.CRX, "CRY": qml.CRY, "CRZ": qml.CRZ, "H": qml.Hadamard, "X": qml.PauliX},
}


def apply_in_pennylane(gate, angles):
    values = [angles[slot] for slot in gate.slots]
    if gate.name == "CU3":
        qml.ctrl(qml.U3(*values, wires=gate.qubits[1]), control=gate.qubits[0])
    else:
        GATES[gate.name](*values, wires=gate.qubits)


def pennylane_energies(circuit, psi):
    """⟨Z_q⟩ of every qubit as a differentiable function of the angles, for one state."""

    @qml.qnode(qml.device("default.qubit", wires=circuit.num_qubits))
    def energies(params):
        qml.StatePrep(psi, wires=range(circuit.num_qubits))
        for layer in range(circuit.num_layers):
            for gate in circuit.layer:
                apply_in_pennylane(gate, params[layer])
        return [qml.expval(qml.PauliZ(q)) for q in range(circuit.num_qubits)]

    return lambda params: pnp.stack(energies(params))


# PennyLane's own autograd casts U3's complex phases.
@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-10), ("float32", 1e-5)])
@pytest.mark.parametrize("name", CIRCUITS)
def test_values_and_gradients_agree_with_pennylane(name, dtype, tolerance):
    circuit = CIRCUITS[name]
    angles, psi = random_inputs(circuit, seed=len(name), batch=4)
    mix = np.random.default_rng(1).normal(size=circuit.num_qubits)

    observables = [f"Z{q}" for q in range(circuit.num_qubits)]

    @jax.jit
    @partial(jax.value_and_grad, has_aux=True)
    def ours(params):
        values = expval(run_circuit(circuit, params, states), *observables)
        return values[0] @ jnp.asarray(mix, dtype), values

    with jax.enable_x64(dtype == "float64"):
        states = jnp.asarray(psi, jnp.result_type(dtype, jnp.complex64))
        (_, values), gradient = ours(jnp.asarray(angles, dtype))
    theirs = pennylane_energies(circuit, psi[:, 0])
    params = pnp.array(angles, requires_grad=True)
    np.testing.assert_allclose(values[0], theirs(params), atol=tolerance)
    expected = qml.grad(lambda p: pnp.dot(mix, theirs(p)))(params)
    np.testing.assert_allclose(gradient, expected, atol=10 * tolerance)
