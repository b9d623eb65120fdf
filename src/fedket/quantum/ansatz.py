"""The published circuits, one factory each. Sources: the papers named in the docstrings."""

from fedket.errors import CircuitError
from fedket.quantum.circuit import Circuit, Gate, GateTuple, check_circuit, make_circuit


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
    chain: list[GateTuple] = [("CZ", q, q + 1) for q in range(num_qubits - 1)]
    return make_circuit(num_qubits, _two_rotations(num_qubits) + chain, num_layers)


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


def strongly_entangling(num_qubits: int = 4, num_layers: int = 3) -> Circuit:
    """Rot on every qubit, then CNOTs that reach further from layer to layer (arXiv:1804.00633).

    PennyLane's `StronglyEntanglingLayers`: layer l ends in CNOT(q, q + r mod n) for every q, with
    r = l mod (n − 1) + 1. 3 angles per qubit and layer; their array, reshaped to (num_layers,
    num_qubits, 3), is PennyLane's. Layers differ, so a layer of the returned `Circuit` is one
    cycle of n − 1 of them where that divides `num_layers`, else all of them.
    """
    ranges = max(num_qubits - 1, 1)
    cycle = max(num_layers, 1) if num_layers % ranges else ranges
    gates: list[GateTuple] = []
    for layer in range(cycle):
        gates += [("Rot", q) for q in range(num_qubits)]
        gates += _ring("CNOT", num_qubits, layer % ranges + 1)
    return make_circuit(num_qubits, gates, num_layers // cycle)


def two_local(num_qubits: int = 4, num_layers: int = 3) -> Circuit:
    """RY and RZ on every qubit, then a CNOT chain.

    Qiskit's `efficient_su2` with `entanglement="linear"` and `skip_final_rotation_layer=True`:
    2 angles per qubit and layer, in Qiskit's order.
    """
    chain: list[GateTuple] = [("CNOT", q, q + 1) for q in range(num_qubits - 1)]
    return make_circuit(num_qubits, _two_rotations(num_qubits) + chain, num_layers)


def two_local_ring(num_qubits: int = 4, num_layers: int = 3) -> Circuit:
    """RY and RZ on every qubit, then a CNOT from the last qubit to the first, then the chain.

    As `two_local`, with Qiskit's `entanglement="circular"`, which closes no ring of 2 qubits.
    """
    chain: list[GateTuple] = [("CNOT", q, q + 1) for q in range(num_qubits - 1)]
    closing: list[GateTuple] = [("CNOT", num_qubits - 1, 0)] if num_qubits > 2 else []
    return make_circuit(num_qubits, _two_rotations(num_qubits) + closing + chain, num_layers)


def qcnn(num_qubits: int = 8, num_layers: int = 3) -> Circuit:
    """Quantum convolutional network: convolution and pooling, halving the qubits in each layer.

    Cong, Choi and Lukin, arXiv:1810.03787. A layer on m qubits is one two-qubit unitary on all
    neighbours of their ring, (0, 1), (2, 3), … and then (1, 2), …, (m − 1, 0); then qubits m/2 to
    m − 1 turn qubits 0 to m/2 − 1 and are used no more. Gates of a layer share their angles: 15 of
    a general two-qubit unitary (Vatan and Williams, quant-ph/0308006, figure 6) and 2 of the
    pooling, CRZ where the source is 1 and CRX where it is 0 (Hur et al., arXiv:2108.00661). A
    controlled rotation does what a measurement and a rotation by its outcome would do.

    Qubits that are left are the first, so read-outs `z` and `z0` read them, up to
    num_qubits / 2**num_layers. The returned `Circuit` has one layer of all gates, 17 angles for
    each of `num_layers`.

    Args:
        num_qubits: A power of two, at least 2.
        num_layers: How often qubits are halved, 1 to log2(num_qubits).

    Raises:
        CircuitError: The numbers do not fit.
    """
    if num_qubits < 2 or num_qubits & (num_qubits - 1):
        raise CircuitError(
            f"`qcnn` halves its qubits; num_qubits should be 2, 4, 8, …, got {num_qubits}"
        )
    if not 1 <= num_layers < num_qubits.bit_length():
        raise CircuitError(
            f"`qcnn` halves {num_qubits} qubits at most {num_qubits.bit_length() - 1} times; "
            f"num_layers should be between 1 and that, got {num_layers}"
        )
    gates: list[Gate] = []
    for layer in range(num_layers):
        width, slot = num_qubits >> layer, 17 * layer
        for first, second in _neighbours(width):
            gates += _shared(_CONVOLUTION, first, second, slot)
        for sink in range(width // 2):
            gates += _shared(_POOLING, sink + width // 2, sink, slot + 15)
    circuit = Circuit(num_qubits, tuple(gates), 1)
    check_circuit(circuit)
    return circuit


_ROTATIONS: list[GateTuple] = [("Rot", 0), ("Rot", 1)]
_ENTANGLER: list[GateTuple] = [
    ("CNOT", 1, 0),
    ("RZ", 0),
    ("RY", 1),
    ("CNOT", 0, 1),
    ("RY", 1),
    ("CNOT", 1, 0),
]
_CONVOLUTION = _ROTATIONS + _ENTANGLER + _ROTATIONS
_POOLING: list[GateTuple] = [("CRZ", 0, 1), ("X", 0), ("CRX", 0, 1)]


def _shared(gates: list[GateTuple], first: int, second: int, slot: int) -> list[Gate]:
    """Gates on qubits 0 and 1 moved to two qubits, their angles from `slot` on."""
    moved = make_circuit(2, gates, 1).layer
    pair = (first, second)
    return [
        Gate(g.name, tuple(pair[q] for q in g.qubits), tuple(slot + s for s in g.slots))
        for g in moved
    ]


def _neighbours(width: int) -> list[tuple[int, int]]:
    """Pairs of a ring, even ones first; a ring of two has one."""
    if width == 2:
        return [(0, 1)]
    return [(q, (q + 1) % width) for start in (0, 1) for q in range(start, width, 2)]


def _two_rotations(num_qubits: int) -> list[GateTuple]:
    return [(name, q) for name in ("RY", "RZ") for q in range(num_qubits)]


def _ring(name: str, num_qubits: int, reach: int = 1) -> list[GateTuple]:
    """The gate on (q, q + reach mod n) for every q; nothing on a single qubit."""
    if num_qubits == 1:
        return []
    return [(name, q, (q + reach) % num_qubits) for q in range(num_qubits)]
