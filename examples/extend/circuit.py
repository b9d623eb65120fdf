"""A circuit of one's own for `vqc` and `hybrid`: rotations, then a ring of CNOTs.

Run it with `python examples/extend/circuit.py`, or name it:
`[model] kind = "vqc"`, `circuit = "circuit.py:ring"`. Without Python, the same layer is
`layer = [["RY", 0], ["RZ", 0], …, ["CNOT", 0, 1], …]`.
"""

import fedket as fk


def ring(num_qubits: int, num_layers: int) -> fk.Circuit:
    """RY and RZ on every qubit, then CNOTs around: 2 angles per qubit and layer."""
    gates = [(name, q) for name in ("RY", "RZ") for q in range(num_qubits)]
    gates += [("CNOT", q, (q + 1) % num_qubits) for q in range(num_qubits)]
    return fk.make_circuit(num_qubits, gates, num_layers)


if __name__ == "__main__":
    from first import demonstrate

    demonstrate(model=fk.vqc(ring(6, 3), num_classes=10))
