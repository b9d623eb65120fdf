"""Qiskit's circuits as models: on fedket's engine, on Aer, on primitives of the user's own."""

from time import sleep

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Gate, Parameter, ParameterVector, Qubit, library
from qiskit.primitives import StatevectorEstimator
from qiskit.providers.fake_provider import GenericBackendV2

from fedket.bridges.device import Patience
from fedket.bridges.qiskit.kind import qiskit_model
from fedket.errors import CircuitError, ConfigError, TrainingError
from tests.bridges.papers import CIRCUITS

GATES = {
    **{name: getattr(library, f"{name}Gate") for name in ("RX", "RY", "RZ", "CU3")},
    **{"U3": library.UGate, "CNOT": library.CXGate, "CZ": library.CZGate},
}


def in_qiskit(circuit):
    """Features by RY(arctan x) and RZ(arctan x²), then a paper's circuit."""
    written = QuantumCircuit(circuit.num_qubits)
    x = ParameterVector("x", circuit.num_qubits)
    w = ParameterVector("w", circuit.num_params)
    for qubit in range(circuit.num_qubits):
        written.ry(x[qubit].arctan(), qubit)
        written.rz((x[qubit] * x[qubit]).arctan(), qubit)
    for layer in range(circuit.num_layers):
        for gate in circuit.layer:
            angles = [w[layer * circuit.num_slots + slot] for slot in gate.slots]
            if gate.name == "Rot":
                for axis, angle in zip(("rz", "ry", "rz"), angles, strict=True):
                    getattr(written, axis)(angle, gate.qubits[0])
            else:
                written.append(GATES[gate.name](*angles), gate.qubits)
    return written


def value_and_gradient(model, params, x, mix):
    def of(params):
        logits = model.apply(params, x)
        return (logits * mix).sum(), logits

    (_, logits), gradient = jax.jit(jax.value_and_grad(of, has_aux=True))(params)
    return logits, gradient


@pytest.mark.parametrize("name", CIRCUITS)
def test_the_papers_circuits_agree_with_aer_in_values_and_gradients(name):
    circuit = in_qiskit(CIRCUITS[name])
    rng = np.random.default_rng(0)
    with jax.enable_x64(True):
        x = jnp.asarray(rng.normal(size=(1, 4)))
        params = jnp.asarray(rng.normal(size=CIRCUITS[name].num_params))
        mix = jnp.asarray(rng.normal(size=(1, 3)))
        native, aer = (
            value_and_gradient(
                qiskit_model(circuit, 3, readout="z_zz", backend_name=backend), params, x, mix
            )
            for backend in ("", "aer")
        )
    np.testing.assert_allclose(native[0], aer[0], atol=1e-10)
    np.testing.assert_allclose(native[1], aer[1], atol=1e-10)


def test_whatever_qiskit_can_write_as_gates_is_translated():
    w, theta = ParameterVector("w", 12), Parameter("θ")
    circuit = QuantumCircuit(3)
    circuit.compose(library.zz_feature_map(2, reps=1, parameter_prefix="x"), inplace=True)
    circuit.compose(library.real_amplitudes(3, reps=1, parameter_prefix="v"), inplace=True)
    x = [parameter for parameter in circuit.parameters if parameter.name.startswith("x")]
    circuit.rx(w[0] / 2 + 1, 1)
    circuit.cu(w[1], 0.1, 0.2, w[10], 0, 1)
    circuit.append(library.CU3Gate(theta, w[2], 0.3), [1, 2])
    for name in ("rxx", "ryy", "rzz", "rzx", "cp", "crx", "cry", "crz"):
        getattr(circuit, name)(theta * w[3] + x[0], 0, 2)
    for name in ("csx", "ch", "cy", "iswap", "dcx", "ecr", "swap", "cz", "cs", "csdg"):
        getattr(circuit, name)(1, 2)
    for name in ("y", "z", "s", "sdg", "t", "tdg", "sx", "sxdg"):
        getattr(circuit, name)(0)
    circuit.u(theta, w[11], 0.2, 1)
    circuit.r(0.3, theta, 2)
    circuit.ccx(0, 1, 2)
    circuit.cswap(2, 0, 1)
    circuit.append(library.RXGate(w[4]).control(2, annotated=False), [0, 1, 2])
    circuit.unitary(library.HGate().to_matrix(), [1])
    circuit.barrier()
    model = qiskit_model(circuit, 2, inputs=("x",))
    assert "agrees with Qiskit" in model.runs_on


def one_weight():
    circuit = QuantumCircuit(2)
    circuit.ry(Parameter("x0"), 0)
    circuit.cx(0, 1)
    circuit.crx(Parameter("w0"), 0, 1)
    return circuit


def holding(change):
    circuit = one_weight()
    change(circuit)
    return circuit


def branch(circuit):
    circuit.add_bits(QuantumCircuit(0, 1).clbits)
    with circuit.if_test((circuit.clbits[0], 1)):
        circuit.x(0)


REFUSED = {
    "`measure`: a measurement": holding(lambda circuit: circuit.measure_all()),
    "`reset`": holding(lambda circuit: circuit.reset(0)),
    "`if_else`: control flow": holding(branch),
    "gate 'mystery' that has no": holding(
        lambda circuit: circuit.append(Gate("mystery", 1, []), [0])
    ),
}


@pytest.mark.parametrize("said", REFUSED)
def test_what_cannot_be_trained_is_one_line_that_names_it(said):
    with pytest.raises(CircuitError, match=said) as caught:
        qiskit_model(REFUSED[said], 2)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"backend": GenericBackendV2(2), "backend_name": "mine"},
            "`mine` has 2 qubits, the c.* 3",
        ),
        ({"backend": 3, "backend_name": "mine.py:b"}, "`mine.py:b` is a int"),
        ({"engine": "device"}, "needs model.backend"),
        ({"backend_name": "aer", "readout": "probabilities"}, "a device gives"),
        ({"backend_name": "aer", "encoding": "angle"}, "is fedket's own"),
    ],
)
def test_a_backend_must_suit_the_circuit(keys, said):
    with pytest.raises(ConfigError, match=said):
        qiskit_model(holding(lambda circuit: circuit.add_bits([Qubit()])), 2, **keys)


def test_a_number_is_no_circuit():
    with pytest.raises(ConfigError, match="it should be a Qiskit `QuantumCircuit`"):
        qiskit_model(3, 2)


class Queue:
    """A stranger's estimator: primitives V2, jobs with ids, slow if it is told to be."""

    def __init__(self, seconds=0.0):
        self.inner, self.seconds, self.cancelled, self.count = StatevectorEstimator(), seconds, 0, 0

    def run(self, pubs, *, precision=None):
        self.count += 1
        return Job(self, self.inner.run(pubs, precision=precision), f"job-{self.count}")


class Job:
    def __init__(self, queue, inner, name):
        self.queue, self.inner, self.name = queue, inner, name

    def job_id(self):
        return self.name

    def result(self):
        sleep(self.queue.seconds)
        return self.inner.result()

    def cancel(self):
        self.queue.cancelled += 1


def test_jobs_of_a_primitive_are_known_by_their_ids():
    model = qiskit_model(one_weight, 2, readout="z0", backend=Queue(), backend_name="queue")
    native = qiskit_model(one_weight, 2, readout="z0")
    params, x = jnp.array([0.4]), jnp.array([[0.3], [0.9]])
    mix = jnp.array([[1.0, 0.0], [0.5, 2.0]])
    found, expected = (value_and_gradient(m, params, x, mix) for m in (model, native))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), found, expected)
    assert model.device.finish() == ("job-1", "job-2")
    assert model.device.finish() == ()


def test_a_job_that_takes_too_long_is_cancelled_and_said():
    queue, patience = Queue(seconds=0.2), Patience(timeout_s=0.05, retries=1, wait_s=0.0)
    model = qiskit_model(one_weight, 2, backend=queue, backend_name="queue", patience=patience)
    logits = jax.jit(model.apply)(jnp.array([0.4]), jnp.array([[0.3]]))
    assert np.isnan(logits).all()
    with pytest.raises(
        TrainingError, match=r"device `queue` failed 2 times.*no answer within 0.05 s"
    ):
        model.device.finish()
    assert queue.cancelled == 2


def test_shots_on_a_noisy_backend_are_near_and_said_not_to_repeat():
    backend = GenericBackendV2(3, seed=0)
    model = qiskit_model(one_weight, 2, backend=backend, backend_name="generic", shots=4096)
    assert "no run repeats another" in model.runs_on
    params, x = jnp.array([0.4]), jnp.array([[0.3]])
    exact = qiskit_model(one_weight, 2).apply(params, x)
    np.testing.assert_allclose(jax.jit(model.apply)(params, x), exact, atol=0.1)
    assert len(model.device.finish()) == 1


def test_a_device_of_ibms_is_simulated_with_its_noise():
    providers = pytest.importorskip("qiskit_ibm_runtime.fake_provider", reason="no IBM runtime")
    backend = providers.FakeManilaV2()
    model = qiskit_model(one_weight, 2, backend=backend, backend_name="manila", shots=4096)
    params, x = jnp.array([0.4]), jnp.array([[0.3]])
    exact = qiskit_model(one_weight, 2).apply(params, x)
    np.testing.assert_allclose(jax.jit(model.apply)(params, x), exact, atol=0.2)
