"""The published circuits, one factory each. Sources: the four papers named in the docstrings."""

from fedket.quantum.circuit import Circuit, GateTuple, make_circuit


def qfedfisher(num_qubits: int = 10, num_layers: int = 60) -> Circuit:
    """CNOT chain, then RY and RX on every qubit (QFedFisher, arXiv:2507.17580, section IV).

    The paper gives gates and depth; the order inside a layer is our choice. 2 angles per qubit
    and layer, so 1,200 for 10 qubits and 60 layers.
    """
    chain: list[GateTuple] = [("CNOT", q, q + 1) for q in range(num_qubits - 1)]
    rotations: list[GateTuple] = [(name, q) for name in ("RY", "RX") for q in range(num_qubits)]
    return make_circuit(num_qubits, chain + rotations, num_layers)


def qunetqfl(num_qubits: int = 6, num_layers: int = 4) -> Circuit:
    """RY and RZ on every qubit, then a CZ chain (QuNetQFL, arXiv:2501.12709).

    The paper states a hardware-efficient ansatz of 6 qubits × 4 layers and 4 × 3; the gates are
    our choice. 2 angles per qubit and layer.
    """
    rotations: list[GateTuple] = [(name, q) for name in ("RY", "RZ") for q in range(num_qubits)]
    chain: list[GateTuple] = [("CZ", q, q + 1) for q in range(num_qubits - 1)]
    return make_circuit(num_qubits, rotations + chain, num_layers)


def chen_yoo(num_qubits: int = 4, num_layers: int = 2) -> Circuit:
    """CNOT ring, then Rot on every qubit (Chen and Yoo, arXiv:2103.12010, figure 5).

    3 angles per qubit and layer, so 24 for 4 qubits and 2 layers.
    """
    rotations: list[GateTuple] = [("Rot", q) for q in range(num_qubits)]
    return make_circuit(num_qubits, _ring("CNOT", num_qubits) + rotations, num_layers)


def quantum_train(num_qubits: int = 13, num_layers: int = 16) -> Circuit:
    """U3 on every qubit, then a ring of CU3 in sequence (QFed, arXiv:2601.09809).

    6 angles per qubit and layer, so 1,248 for 13 qubits and 16 layers.
    """
    rotations: list[GateTuple] = [("U3", q) for q in range(num_qubits)]
    return make_circuit(num_qubits, rotations + _ring("CU3", num_qubits), num_layers)


def _ring(name: str, num_qubits: int) -> list[GateTuple]:
    """The gate on (q, q + 1 mod n) for every q; nothing on a single qubit."""
    if num_qubits == 1:
        return []
    return [(name, q, (q + 1) % num_qubits) for q in range(num_qubits)]
