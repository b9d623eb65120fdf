"""The circuits of the four papers as fedket has them, and as OpenQASM 3 writes them out."""

from fedket.quantum import ansatz

CIRCUITS = {
    "qfedfisher": ansatz.qfedfisher(4, 3),
    "qunetqfl": ansatz.qunetqfl(4, 3),
    "chen_yoo": ansatz.chen_yoo(4, 2),
    "quantum_train": ansatz.quantum_train(4, 2),
}

QASM = {"RX": "rx", "RY": "ry", "RZ": "rz", "U3": "U", "CNOT": "cx", "CZ": "cz", "CU3": "cu3"}

ROT = "gate rot(a, b, c) q { rz(a) q; ry(b) q; rz(c) q; }"
CU3 = """gate cu3(a, b, c) q, r {
  p((c + b) / 2) q; p((c - b) / 2) r; cx q, r;
  U(-a / 2, 0, -(b + c) / 2) r; cx q, r; U(a / 2, b, 0) r;
}"""
"""As Qiskit defines it; `stdgates.inc` has none."""

ARCTAN = [f"ry(arctan(x[{q}])) q[{q}]; rz(arctan(x[{q}] ** 2)) q[{q}];" for q in range(4)]


def in_qasm(circuit, encoding=()):
    """A circuit gate by gate, weights in the order of `circuit.params_shape`."""
    lines = ["OPENQASM 3.0;", 'include "stdgates.inc";', ROT, CU3]
    lines += [f"input array[float[64], {circuit.num_qubits}] x;"] * bool(encoding)
    lines += [f"input float[64] w{k};" for k in range(circuit.num_params)]
    lines += [f"qubit[{circuit.num_qubits}] q;", *encoding]
    for layer in range(circuit.num_layers):
        for gate in circuit.layer:
            slots = [f"w{layer * circuit.num_slots + slot}" for slot in gate.slots]
            name = QASM.get(gate.name, gate.name.lower())
            angles = f"({', '.join(slots)})" if slots else ""
            lines.append(f"{name}{angles} {', '.join(f'q[{q}]' for q in gate.qubits)};")
    return "\n".join(lines)
