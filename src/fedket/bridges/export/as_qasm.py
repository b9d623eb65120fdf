"""A trained circuit as OpenQASM 3."""

from fedket.bridges.export.formulas import angle_text
from fedket.bridges.export.trained import TrainedCircuit
from fedket.bridges.program import Operation

NAMES = {"CNOT": "cx", "U3": "U", "X": "x", "H": "h"}

CU3 = """gate cu3(theta, phi, lambda) c, t {
  p((lambda + phi) / 2) c;
  p((lambda - phi) / 2) t;
  cx c, t;
  U(-theta / 2, 0, -(phi + lambda) / 2) t;
  cx c, t;
  U(theta / 2, phi, 0) t;
}"""
"""`stdgates.inc` has none; as Qiskit defines it."""


def to_qasm(circuit: TrainedCircuit) -> str:
    """The text: features are `input float[64] x0, x1, …`."""
    lines = ["OPENQASM 3.0;", 'include "stdgates.inc";']
    lines += [f"// {note}" for note in circuit.notes]
    if any(operation.name == "CU3" for operation in circuit.operations):
        lines.append(CU3)
    lines += [f"input float[64] x{place};" for place in range(circuit.num_features)]
    lines.append(f"qubit[{circuit.num_qubits}] q;")
    for operation in circuit.operations:
        lines += _statements(operation)
    return "\n".join(lines) + "\n"


def _statements(operation: Operation) -> list[str]:
    name, qubits, angles = operation
    texts = [angle_text(angle, "x{}") for angle in angles]
    if name == "Rot":
        axes = zip(("rz", "ry", "rz"), texts, strict=True)
        return [f"{axis}({text}) q[{qubits[0]}];" for axis, text in axes]
    given = f"({', '.join(texts)})" if texts else ""
    places = ", ".join(f"q[{qubit}]" for qubit in qubits)
    return [f"{NAMES.get(name, name.lower())}{given} {places};"]
