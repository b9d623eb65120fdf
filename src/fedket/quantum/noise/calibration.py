"""A device's calibration becomes a noise model, in the way in which Qiskit Aer builds it.

Each native gate relaxes its qubits for as long as it takes, and depolarises before that as much as
its measured error is larger than relaxation explains (`gate_noise`). Our gates count as native
ones: RX, RY, Rot and U3 are two `sx`, H, X and Y one, RZ, Z, S and T are free; CNOT and CZ are one
two-qubit gate of the device, controlled rotations two, SWAP three.
"""

import json
from collections.abc import Mapping, Sequence
from math import exp, prod
from pathlib import Path
from typing import Any, NamedTuple

from fedket.errors import ConfigError
from fedket.quantum.noise.channels import depolarising, thermal_relaxation
from fedket.quantum.noise.model import MAX_EXACT_QUBITS, NoiseModel, Rule

SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9, "ps": 1e-12, "": 1.0}

ONE_QUBIT = {"RX": 2, "RY": 2, "Rot": 2, "U3": 2, "H": 1, "X": 1, "Y": 1}
"""Our gates on one qubit -> `sx` of the device; the others are changes of frame, and free."""

TWO_QUBIT = {"CNOT": 1, "CZ": 1, "SWAP": 3, "CRX": 2, "CRY": 2, "CRZ": 2, "CU3": 2}
"""Our gates on two qubits -> native ones."""

NATIVE = ("cz", "ecr", "cx", "rzz")
"""Two-qubit gates of devices, the first that a pair has is used."""


class GateNoise(NamedTuple):
    """What a native gate does.

    Attributes:
        rate: λ of the depolarising channel that comes first.
        fidelity: Average gate fidelity of the relaxation alone.
    """

    rate: float
    fidelity: float


class Device(NamedTuple):
    """A calibration, in seconds.

    Attributes:
        qubits: Of each qubit: `T1`, `T2`, `prob_meas1_prep0`, `prob_meas0_prep1`, …
        gates: (name, qubits) -> `gate_error`, `gate_length`.
    """

    qubits: list[dict[str, float]]
    gates: dict[tuple[str, tuple[int, ...]], dict[str, float]]


def from_calibration(path: str | Path, qubits: Sequence[int] = ()) -> NoiseModel:
    """The noise of a device, from its properties as IBM publishes them.

    Args:
        path: JSON file, such as `props_torino.json` of qiskit-ibm-runtime's fake backends.
        qubits: The device's qubits that a circuit's 0, 1, … are; empty for its first 8. Two-qubit
            gates exist between coupled ones only.

    Raises:
        ConfigError: The file cannot be read, lacks something, or a gate that is needed is broken
            (its error is 1).
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not a readable text file: {error}") from None
    return read_calibration(text, str(path), qubits)


def read_calibration(text: str, name: str, qubits: Sequence[int] = ()) -> NoiseModel:
    """As `from_calibration`, of a file's text.

    Args:
        text: The properties, JSON.
        name: Of the file, for messages.
        qubits: As of `from_calibration`.
    """
    device = _parse(text, name)
    chosen = tuple(qubits) or tuple(range(min(MAX_EXACT_QUBITS, len(device.qubits))))
    _check_qubits(device, chosen, name)
    rules: list[Rule] = []
    for place, qubit in enumerate(chosen):
        rules += _rules(device, "sx", (qubit,), (place,), ONE_QUBIT, name)
    couplings = _couplings(device, chosen)
    for pair, places in couplings.items():
        native = next(gate for gate in NATIVE if (gate, pair) in device.gates)
        rules += _rules(device, native, pair, places, TWO_QUBIT, name)
    readout = tuple(_readout(device, qubit, name) for qubit in chosen)
    return NoiseModel(tuple(rules), readout, tuple(couplings.values()))


def gate_noise(error: float, duration: float, times: Sequence[tuple[float, float]]) -> GateNoise:
    """What to do so that relaxation and depolarising together have the measured error.

    F = (Tr R / d + 1) / (d + 1) with Tr R = Π (1 + 2 e^(−t/T2) + e^(−t/T1)) over the gate's qubits,
    and λ = d (e − (1 − F)) / (d F − 1), 0 if relaxation alone explains the error.

    Args:
        error: Measured average gate infidelity e.
        duration: Of the gate t, in the unit of `times`.
        times: (T1, T2) of each qubit of the gate.
    """
    dim = 2 ** len(times)
    trace = prod(1 + 2 * exp(-duration / t2) + exp(-duration / t1) for t1, t2 in times)
    fidelity = (trace / dim + 1) / (dim + 1)
    rate = dim * (error - (1 - fidelity)) / (dim * fidelity - 1)
    return GateNoise(min(max(rate, 0.0), dim**2 / (dim**2 - 1)), fidelity)


def _rules(
    device: Device,
    native: str,
    qubits: tuple[int, ...],
    places: tuple[int, ...],
    counts: Mapping[str, int],
    name: str,
) -> list[Rule]:
    """What follows our gates on the places of a circuit that stand for these qubits."""
    times = [_times(device, qubit, name) for qubit in qubits]
    gate = _gate(device, native, qubits, name)
    rate = gate_noise(gate["gate_error"], gate["gate_length"], times).rate
    rules: list[Rule] = []
    for count in sorted(set(counts.values())):
        gates = tuple(ours for ours, number in counts.items() if number == count)
        once = [Rule(depolarising(rate, len(qubits)), gates, places)] if rate else []
        once += [
            Rule(thermal_relaxation(gate["gate_length"], *pair), gates, places, on=place)
            for pair, place in zip(times, places, strict=True)
        ]
        rules += once * count
    return rules


def _couplings(device: Device, chosen: tuple[int, ...]) -> dict[tuple[int, int], tuple[int, int]]:
    """Coupled qubits as the device names the pair -> their places in the circuit."""
    found: dict[tuple[int, int], tuple[int, int]] = {}
    place = {qubit: index for index, qubit in enumerate(chosen)}
    for gate, pair in device.gates:
        if gate in NATIVE and set(pair) <= set(chosen) and pair[::-1] not in found:
            found[pair[0], pair[1]] = place[pair[0]], place[pair[1]]
    return found


def _parse(text: str, name: str) -> Device:
    try:
        values = json.loads(text)
        qubits = [_numbers(parameters) for parameters in values["qubits"]]
        gates = {
            (str(gate["gate"]), tuple(map(int, gate["qubits"]))): _numbers(gate["parameters"])
            for gate in values["gates"]
        }
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ConfigError(
            f"{name} does not hold a device's properties as IBM publishes them, `qubits` and "
            f"`gates` with their values ({type(error).__name__}: {error})"
        ) from None
    return Device(qubits, gates)


def _numbers(parameters: list[dict[str, Any]]) -> dict[str, float]:
    """Name -> value in SI units; frequencies and what else is not needed stay as they are."""
    return {
        str(p["name"]): float(p["value"]) * SECONDS.get(str(p.get("unit", "")), 1.0)
        for p in parameters
    }


def _check_qubits(device: Device, chosen: tuple[int, ...], name: str) -> None:
    known = len(device.qubits)
    if len(set(chosen)) < len(chosen) or not all(0 <= qubit < known for qubit in chosen):
        raise ConfigError(
            f"{name} has qubits 0 to {known - 1}; choose different ones of them, not "
            f"{', '.join(map(str, chosen))}"
        )


def _gate(device: Device, native: str, qubits: tuple[int, ...], name: str) -> dict[str, float]:
    where = f"{native} on {'qubit' if len(qubits) == 1 else 'qubits'} {', '.join(map(str, qubits))}"
    gate = device.gates.get((native, qubits), {})
    for key in ("gate_error", "gate_length"):
        if not 0 <= gate.get(key, -1.0) < float("inf"):
            raise ConfigError(f"{name} gives no `{key}` of {where}; choose other qubits")
    if gate["gate_error"] >= 1:
        raise ConfigError(f"{name}: {where} is broken (gate_error 1); choose other qubits")
    return gate


def _times(device: Device, qubit: int, name: str) -> tuple[float, float]:
    """T1 and T2 of a qubit; T2 is measured by itself, and 2 T1 at most."""
    t1, t2 = (device.qubits[qubit].get(key, 0.0) for key in ("T1", "T2"))
    if not (0 < t1 < float("inf") and 0 < t2 < float("inf")):
        raise ConfigError(f"{name} gives no T1 and T2 of qubit {qubit}; choose other qubits")
    return t1, min(t2, 2 * t1)


def _readout(device: Device, qubit: int, name: str) -> tuple[float, float]:
    errors = tuple(
        device.qubits[qubit].get(key, -1.0) for key in ("prob_meas1_prep0", "prob_meas0_prep1")
    )
    if not all(0 <= error <= 1 for error in errors):
        raise ConfigError(f"{name} gives no read-out errors of qubit {qubit}; choose other qubits")
    return errors[0], errors[1]
