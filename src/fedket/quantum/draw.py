"""Draw a circuit as text, one line per qubit."""

from fedket.quantum.circuit import Circuit, Gate

_CONTROL, _TARGET = {"CNOT": "●", "CZ": "●", "SWAP": "x"}, {"CNOT": "⊕", "CZ": "●", "SWAP": "x"}


def draw_circuit(circuit: Circuit) -> str:
    """A circuit's layer as text, and how often it is repeated.

    Gates share a column when their wires do not cross. `print` it.
    """
    rows = [[f"q{qubit:<3}─"] for qubit in range(circuit.num_qubits)]
    for column in columns_of(circuit.layer):
        cells = _draw_column(column, circuit.num_qubits)
        width = max(len(cell) for cell in cells)
        for row, cell in zip(rows, cells, strict=True):
            row.append(cell.center(width, "─") + "─")
    suffix = f" × {circuit.num_layers}"
    lines = ["".join(row) for row in rows]
    lines[circuit.num_qubits // 2] += suffix
    return "\n".join(lines)


def columns_of(gates: tuple[Gate, ...]) -> list[list[Gate]]:
    """Put each gate into the earliest column after everything it touches or crosses."""
    columns: list[list[Gate]] = []
    depth: dict[int, int] = {}
    for gate in gates:
        span = range(min(gate.qubits), max(gate.qubits) + 1)
        column = max((depth.get(qubit, 0) for qubit in span), default=0)
        if column == len(columns):
            columns.append([])
        columns[column].append(gate)
        depth.update(dict.fromkeys(span, column + 1))
    return columns


def _draw_column(gates: list[Gate], num_qubits: int) -> list[str]:
    cells = ["─"] * num_qubits
    for gate in gates:
        if len(gate.qubits) == 1:
            cells[gate.qubits[0]] = gate.name
            continue
        first, second = gate.qubits
        for qubit in range(min(gate.qubits) + 1, max(gate.qubits)):
            cells[qubit] = "│"
        cells[first] = _CONTROL.get(gate.name, "●")
        cells[second] = _TARGET.get(gate.name, gate.name.removeprefix("C"))
    return cells
