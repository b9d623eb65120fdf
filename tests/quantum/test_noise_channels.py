"""Channels: what they do to states, and what is none."""

import numpy as np
import pennylane as qml
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedket.errors import CircuitError
from fedket.quantum import noise
from fedket.quantum.circuit import Gate
from fedket.quantum.noise import channels
from fedket.quantum.noise.channels import PAULIS, Channel

RATE = st.floats(0, 1)


def transfer_of(kraus):
    """Pauli transfer matrix of Kraus operators on one qubit."""
    return sum(np.einsum("iab,bc,jcd,ad->ij", PAULIS, k, PAULIS, k.conj()) for k in kraus).real / 2


@given(rate=RATE, time=st.floats(0, 5), ratio=st.floats(0.1, 2), excited=RATE)
def test_channels_are_pennylanes(rate, time, ratio, excited):
    t1, t2 = 2.0, 2.0 * ratio
    pairs = [
        (channels.depolarising(4 * rate / 3), qml.DepolarizingChannel(rate, wires=0)),
        (channels.amplitude_damping(rate), qml.AmplitudeDamping(rate, wires=0)),
        (channels.phase_damping(rate), qml.PhaseDamping(rate, wires=0)),
        (channels.pauli({"X": rate}), qml.BitFlip(rate, wires=0)),
        (
            channels.thermal_relaxation(time, t1, t2, excited),
            qml.ThermalRelaxationError(excited, t1, t2, time, wires=0),
        ),
    ]
    for ours, theirs in pairs:
        expected = transfer_of([np.asarray(k) for k in theirs.kraus_matrices()])
        np.testing.assert_allclose(ours.transfer, expected, atol=1e-7)


@given(rate=RATE)
def test_depolarising_two_qubits_is_all_fifteen_errors_alike(rate):
    names = [a + b for a in "IXYZ" for b in "IXYZ"][1:]
    errors = channels.pauli(dict.fromkeys(names, rate / 16))
    np.testing.assert_allclose(errors.transfer, channels.depolarising(rate, 2).transfer, atol=1e-12)


def test_equal_channels_and_models_are_equal_and_hash_alike():
    assert channels.depolarising(0.1) == channels.pauli(dict.fromkeys("XYZ", 0.025))
    assert hash(noise.depolarising(0.1, 0.2)) == hash(noise.depolarising(0.1, 0.2))
    assert noise.depolarising(0.1, 0.2) != noise.depolarising(0.1, 0.3)
    with pytest.raises(ValueError, match="read-only"):
        channels.depolarising(0.1).transfer[1, 1] = 2


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: channels.depolarising(1.5), "depolarising rate should be a number of 0 to 1.3333"),
        (lambda: channels.depolarising(1.2, 2), "of 0 to 1.0667, got 1.2"),
        (lambda: channels.depolarising(float("nan")), "got nan"),
        (lambda: channels.amplitude_damping(-0.1), "amplitude damping should be .* got -0.1"),
        (lambda: channels.phase_damping(2.0), "phase damping should be a number of 0 to 1, got 2"),
        (lambda: channels.thermal_relaxation(1.0, 2.0, 4.1), "T2 is at most 2 T1, got T2 = 4.1"),
        (lambda: channels.thermal_relaxation(1.0, 0.0, 1.0), "times above 0, got T1 = 0"),
        (lambda: channels.thermal_relaxation(1.0, 1.0, 1.0, 2.0), "excited population should be"),
        (lambda: channels.pauli({"X": 0.7, "Y": 0.6}), "add up to 1.3; .* at most 1"),
        (lambda: channels.pauli({"X": -0.1}), "probability of X should be .* got -0.1"),
        (lambda: channels.pauli({"X": 0.1, "XX": 0.1}), "named by I, X, Y and Z"),
        (lambda: channels.pauli({"Q": 0.1}), "named by I, X, Y and Z, one or two of them"),
        (lambda: Channel(np.diag([1.1, 1, 1, 1])), "not trace preserving: .* got 1.1, 0, 0, 0"),
        (lambda: Channel(np.full((4, 4), np.nan)), "not trace preserving"),
        (lambda: Channel(np.diag([1, 1, -1, 1.0])), "a negative probability, -0.5"),
        (lambda: Channel(np.eye(3)), r"4×4 or 16×16, got shape \(3, 3\)"),
        (lambda: noise.readout_error(0.1, 1.1), r"two probabilities .* got \(0.1, 1.1\)"),
        (lambda: noise.readout_error(0.0, 0.0) + noise.readout_error(0.0, 0.0), "do not add up"),
        (
            lambda: noise.after(channels.phase_damping(0.0), "CXX"),
            "unknown gate `CXX`; known are RX",
        ),
        (lambda: noise.after(channels.depolarising(0.0, 2), "RX"), "two qubits cannot follow RX"),
        (
            lambda: noise.Rule(channels.phase_damping(0.0), qubits=(0, 1), on=2),
            r"one of the rule's qubits \(0, 1\) .* got 2",
        ),
    ],
)
def test_what_is_no_channel_is_one_line(make, said):
    with pytest.raises(CircuitError, match=said) as raised:
        make()
    assert "\n" not in str(raised.value)


def test_a_rule_acts_after_its_gates_on_its_qubits():
    one, two = channels.phase_damping(0.1), channels.depolarising(0.1, 2)
    cnot, ry = Gate("CNOT", (2, 1)), Gate("RY", (1,), (0,))
    assert noise.after(one).after(cnot) == [(one, (2,)), (one, (1,))]
    assert noise.after(one, "CNOT").after(ry) == []
    assert noise.after(two).after(ry) == []
    assert noise.after(two, qubits=(1, 2)).after(cnot) == [(two, (1, 2))]
    assert noise.after(two, qubits=(0, 2)).after(cnot) == []
    assert list(noise.Rule(one, qubits=(1, 2), on=1).after(cnot)) == [(one, (1,))]
