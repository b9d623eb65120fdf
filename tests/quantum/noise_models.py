"""Noise models that together reach every way in which noise joins a layer."""

from fedket.quantum import noise
from fedket.quantum.noise import channels

ROT = noise.after(channels.depolarising(4 * 0.02 / 3), "Rot")
CNOT = noise.after(channels.depolarising(0.05, 2), "CNOT")
RELAXED = noise.after(channels.thermal_relaxation(300.0, 1e5, 8e4), "CNOT")
GOLDEN = {
    "no noise": noise.NoiseModel(),
    "A": ROT + CNOT,
    "B": ROT + CNOT + noise.after(channels.amplitude_damping(0.03), "Rot") + RELAXED,
}
"""Models of the golden values: PennyLane's p = .02 is λ = 4p/3."""

ASYMMETRIC = noise.NoiseModel(
    (
        noise.Rule(channels.pauli({"XI": 0.02, "ZY": 0.1}), qubits=(1, 0)),
        noise.Rule(channels.thermal_relaxation(2.0, 9.0, 7.0, 0.1), qubits=(0, 1), on=1),
        noise.Rule(channels.pauli({"Y": 0.03}), ("RX", "CU3", "CNOT")),
        noise.Rule(channels.depolarising(0.2, 2), ("CU3", "CRX", "SWAP")),
    ),
    ((0.02, 0.05), (0.1, 0.0), (0.0, 0.2), (0.01, 0.01), (0.3, 0.1), (0.0, 0.0), (0.02, 0.07)),
)
DESTROYING = noise.after(channels.depolarising(1.0), "RX", "RY", "Rot") + noise.after(
    channels.amplitude_damping(1.0), "CNOT", "CZ", "CRX"
)
"""Channels without an inverse."""

MODELS = {
    "depolarising": noise.depolarising(0.02, 0.05) + noise.readout_error(0.02, 0.05),
    "damping": noise.amplitude_damping(0.03) + noise.phase_damping(0.05),
    "asymmetric": ASYMMETRIC,
    "destroying": DESTROYING,
}
