"""Calibrations: Aer's numbers from IBM's properties, and what cannot be a device."""

import json
from copy import deepcopy

import numpy as np
import pytest

from fedket.errors import CircuitError, ConfigError
from fedket.quantum import ansatz, noise
from fedket.quantum.circuit import Gate
from fedket.quantum.noise.calibration import gate_noise, read_calibration
from fedket.quantum.noise.plan import plan_noisy

# qiskit-ibm-runtime 0.51: gate_error, gate_length (ns), (T1, T2) of each qubit (µs); the rate and
# the fidelity that Aer's NoiseModel.from_backend makes of them
AER = {
    "sherbrooke sx(0)": (
        *(0.00028775142091170115, 56.888888888888886),
        [(381.5685857300125, 131.70442930164933)],
        *(2.379892645e-4, 0.999831203),
    ),
    "sherbrooke ecr(41, 40)": (
        *(0.007986948615168243, 533.3333333333333),
        [(249.05308533607186, 373.4303713240598), (367.517545505212, 310.9816164796847)],
        *(8.039851172e-3, 0.9980270778),
    ),
    "torino sx(0)": (
        *(0.00034183180551021047, 32.0),
        [(224.08727568067368, 314.59617988981444)],
        *(5.683237443e-4, 0.9999422973),
    ),
    "torino cz(67, 68)": (
        *(0.003096991047570219, 88.0),
        [(130.80147015001793, 135.0594644905125), (225.22987825320124, 74.29745640454549)],
        *(2.871082452e-3, 0.9990536036),
    ),
}


@pytest.mark.parametrize("gate", AER)
def test_a_gate_has_aers_rate_and_fidelity(gate):
    error, length, times, rate, fidelity = AER[gate]
    found = gate_noise(error, length * 1e-3, times)
    np.testing.assert_allclose(found.rate, rate, rtol=1e-9)
    np.testing.assert_allclose(found.fidelity, fidelity, rtol=1e-9)


def test_depolarising_and_relaxation_together_have_the_measured_error():
    for error, length, times, *_ in AER.values():
        rate = gate_noise(error, length * 1e-3, times).rate
        total = noise.channels.depolarising(rate, len(times)).transfer
        relaxed = [
            noise.channels.thermal_relaxation(length * 1e-3, *pair).transfer for pair in times
        ]
        matrix = (relaxed[0] if len(times) == 1 else np.kron(*relaxed)) @ total
        dim = 2 ** len(times)
        np.testing.assert_allclose(1 - (np.trace(matrix) / dim + 1) / (dim + 1), error, rtol=1e-9)


def test_relaxation_that_explains_more_than_the_error_leaves_no_depolarising():
    assert gate_noise(1e-5, 1.0, [(50.0, 50.0)]).rate == 0


def named(**values):
    units = {"T1": "us", "T2": "us", "gate_length": "ns"}
    return [
        {"name": name, "value": value, "unit": units.get(name, ""), "date": "2026-01-01"}
        for name, value in values.items()
    ]


def qubit(t1=200.0, t2=150.0):
    return named(T1=t1, T2=t2, frequency=4.8, prob_meas1_prep0=0.01, prob_meas0_prep1=0.03)


def gate(name, *qubits, error=0.001, length=60.0):
    parameters = named(gate_error=error, gate_length=length)
    return {"qubits": list(qubits), "gate": name, "parameters": parameters, "name": name}


DEVICE = {
    "backend_name": "toy",
    "qubits": [qubit(), qubit(100.0, 190.0), qubit(50.0, 300.0), qubit()],
    "gates": [
        *[gate("sx", q) for q in range(3)],
        *[gate("x", 0), gate("sx", 3, error=1.0), gate("rz", 0, error=0.0, length=0.0)],
        *[gate("cz", 0, 1, error=0.01), gate("cz", 1, 0, error=0.01)],
        *[gate("ecr", 2, 1, error=0.02, length=300.0), gate("cz", 2, 3, error=1.0)],
    ],
}


def test_gates_cost_native_ones_on_the_chosen_qubits():
    model = read_calibration(json.dumps(DEVICE), "toy.json", [1, 2, 0])
    assert model.readout == ((0.01, 0.03),) * 3
    once, twice = (len(model.after(Gate(name, (0,)))) for name in ("H", "RY"))
    assert (once, twice) == (2, 4)
    assert model.after(Gate("RZ", (0,))) == []
    (two, pair), *relaxed = model.after(Gate("CNOT", (0, 1)))
    assert (two.num_qubits, pair) == (2, (1, 0))
    assert [place for _, place in relaxed] == [(1,), (0,)]
    rate = gate_noise(0.02, 0.3, [(50.0, 100.0), (100.0, 190.0)]).rate  # T2 is at most 2 T1
    assert two == noise.channels.depolarising(rate, 2)
    assert len(model.after(Gate("SWAP", (0, 1)))) == 9
    plan_noisy(ansatz.qunetqfl(2, 1), model)
    with pytest.raises(CircuitError, match="CZ on qubits 1 and 2: the device does not couple them"):
        plan_noisy(ansatz.qunetqfl(3, 1), model)


def test_a_file_is_read_as_its_text(tmp_path):
    path = tmp_path / "toy.json"
    path.write_text(json.dumps(DEVICE))
    expected = read_calibration(path.read_text(), "toy.json", [0, 1])
    assert noise.from_calibration(path, [0, 1]) == expected
    with pytest.raises(ConfigError, match=r"none.json is not a readable text file"):
        noise.from_calibration(tmp_path / "none.json")


def without(key, place):
    device = deepcopy(DEVICE)
    device["qubits"][place] = [p for p in device["qubits"][place] if p["name"] != key]
    return json.dumps(device)


@pytest.mark.parametrize(
    ("text", "qubits", "said"),
    [
        (
            json.dumps(DEVICE),
            [0, 3],
            r"toy: sx on qubit 3 is broken \(gate_error 1\); choose other",
        ),
        (json.dumps(DEVICE), [2, 3], r"sx on qubit 3 is broken"),
        (json.dumps(DEVICE), [], r"sx on qubit 3 is broken"),
        (json.dumps(DEVICE), [0, 4], "toy has qubits 0 to 3; choose different ones .* not 0, 4"),
        (json.dumps(DEVICE), [1, 1], "choose different ones"),
        (without("T2", 1), [0, 1], "toy gives no T1 and T2 of qubit 1"),
        (without("prob_meas1_prep0", 0), [0, 1], "toy gives no read-out errors of qubit 0"),
        (
            json.dumps(DEVICE).replace("gate_length", "len"),
            [0],
            "no `gate_length` of sx on qubit 0",
        ),
        ("[]", [], "does not hold a device's properties as IBM publishes them"),
        ("{", [], "does not hold a device's properties"),
        ('{"qubits": [], "gates": 3}', [], "does not hold a device's properties"),
        ('{"qubits": [[{"name": "T1"}]], "gates": []}', [], "does not hold a device's properties"),
    ],
)
def test_what_is_no_calibration_is_one_line(text, qubits, said):
    with pytest.raises(ConfigError, match=said) as raised:
        read_calibration(text, "toy", qubits)
    assert "\n" not in str(raised.value)


def test_a_broken_coupling_is_named():
    device = deepcopy(DEVICE)
    device["gates"][4] = gate("sx", 3)
    with pytest.raises(ConfigError, match="cz on qubits 2, 3 is broken"):
        read_calibration(json.dumps(device), "toy", [2, 3])
