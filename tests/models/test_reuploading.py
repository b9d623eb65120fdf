"""Data re-uploading against PennyLane, and what it refuses."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pennylane as qml
import pytest
from pennylane import numpy as pnp

from fedket.errors import CircuitError, ConfigError
from fedket.models.reuploading import ReuploadingConfig, reuploading
from fedket.quantum import ansatz
from fedket.section import Context, named_function
from fedket.types import Dataset

TURNS = (qml.RY, qml.RZ, qml.RY)


@pytest.mark.parametrize(("num_qubits", "num_features"), [(1, 3), (2, 5), (3, 3), (3, 2)])
def test_logits_and_gradients_are_pennylanes(num_qubits, num_features):
    num_layers = 3
    circuit = ansatz.two_local(num_qubits, num_layers)

    @qml.qnode(qml.device("default.qubit", wires=num_qubits))
    def theirs(angles, scale, x):
        for layer in range(num_layers):
            for i in range(num_features):
                TURNS[i // num_qubits](scale[layer, i] * x[i], wires=i % num_qubits)
            for gate in circuit.layer:
                turns = [angles[layer, slot] for slot in gate.slots]
                getattr(qml, gate.name)(*turns, wires=gate.qubits)
        return qml.expval(qml.PauliZ(0))

    with jax.enable_x64(True):
        model = reuploading(num_features, circuit, 2, readout="z0", logit_scale=1.0, init_std=1.0)
        params = model.init(jax.random.key(0))
        x = jax.random.normal(jax.random.key(1), (2, num_features), jnp.float64)
        ours = jax.jit(jax.value_and_grad(lambda p, x: model.apply(p, x[None])[0, 0]))
        weights = [pnp.array(params[name]) for name in ("circuit", "scale")]
        for sample in x:
            value, gradient = ours(params, sample)
            close = partial(np.testing.assert_allclose, atol=1e-10)
            close(value, theirs(*weights, np.asarray(sample)))
            expected = qml.grad(theirs, argnums=[0, 1])(*weights, np.asarray(sample))
            close(gradient["circuit"], expected[0])
            close(gradient["scale"], expected[1])


def test_a_circuit_of_other_layers_and_other_features_are_refused():
    none = np.zeros((0, 4), np.float32), np.zeros(0, np.int32)
    dataset = Dataset("none", *none, *none, 2)
    context = Context(0, 1, 1, "float32", np.random.default_rng(0), dataset, batch_size=4)
    section = ReuploadingConfig(circuit=named_function("circuit", "qcnn"), num_layers=2)
    with pytest.raises(ConfigError, match="2 layers, but circuit `qcnn` repeats 1"):
        section.build(context)
    model = reuploading(3, ansatz.two_local(2, 1), 2)
    with pytest.raises(CircuitError, match="expected 3 features, got 4"):
        model.apply(model.init(jax.random.key(0)), jnp.ones((1, 4)))
