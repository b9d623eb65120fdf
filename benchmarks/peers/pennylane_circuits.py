"""The workloads' circuits in PennyLane, shared by the peers that differ in device and gradient."""

import pennylane as qml
import torch

Angles = list[torch.Tensor]


def flat(angles: torch.Tensor) -> Angles:
    """Return the angles one by one: one autograd node for all, not one for each indexing."""
    return list(angles.reshape(-1).unbind())


def layers(
    angles: Angles, x: torch.Tensor, num_qubits: int
) -> list[qml.measurements.ExpectationMP]:
    """Workloads a and c: amplitudes `x`, then layers of CNOT chain, RY, RX; read out <Z_i>."""
    qml.StatePrep(x, wires=range(num_qubits), normalize=True)
    remaining = iter(angles)
    for _ in range(len(angles) // (2 * num_qubits)):
        for q in range(num_qubits - 1):
            qml.CNOT(wires=(q, q + 1))
        for q in range(num_qubits):
            qml.RY(next(remaining), wires=q)
            qml.RX(next(remaining), wires=q)
    return [qml.expval(qml.PauliZ(q)) for q in range(num_qubits)]


def generator(u3: Angles, cu3: Angles, num_qubits: int) -> None:
    """Workload b without its read-out: blocks of U3 on every qubit and a ring of controlled U3."""
    singles, pairs = iter(u3), iter(cu3)
    for _ in range(len(u3) // (3 * num_qubits)):
        for q in range(num_qubits):
            qml.U3(next(singles), next(singles), next(singles), wires=q)
        for q in range(num_qubits):
            gate = qml.U3(next(pairs), next(pairs), next(pairs), wires=(q + 1) % num_qubits)
            qml.ctrl(gate, control=q)


def vqc(angles: Angles, x: torch.Tensor) -> list[qml.measurements.ExpectationMP]:
    """Workload d: features (4,) or (batch, 4), layers of CNOT ring and Rot; <Z_0>, <Z_1>."""
    num_qubits = x.shape[-1]
    for q in range(num_qubits):
        qml.RY(torch.arctan(x[..., q]), wires=q)
        qml.RZ(torch.arctan(x[..., q] ** 2), wires=q)
    remaining = iter(angles)
    for _ in range(len(angles) // (3 * num_qubits)):
        for q in range(num_qubits):
            qml.CNOT(wires=(q, (q + 1) % num_qubits))
        for q in range(num_qubits):
            qml.Rot(next(remaining), next(remaining), next(remaining), wires=q)
    return [qml.expval(qml.PauliZ(q)) for q in range(2)]
