"""TorchQuantum: batched statevectors and PyTorch's autograd, in the fastest way that was found.

Static mode (`static_on`) multiplies the gates of up to `wires_per_block` qubits into one matrix
before it touches the states: workload a takes a third of its time gate by gate. In release 0.1.8
it fails with a shape error when a circuit has more than one CU3 gate, so workload b runs gate by
gate, through the functional interface, which is faster than modules.
"""

import sys
from collections.abc import Callable, Iterable
from functools import partial
from unittest.mock import MagicMock

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from benchmarks.peers import torch_parts
from benchmarks.peers.common import Gradient, Peer, main
from benchmarks.workloads import LOGIT_SCALE, NUM_CNN_WEIGHTS, Params, Workload

# TorchQuantum imports torchvision for its data sets, which are not used here; beside a CPU build of
# PyTorch, the torchvision of the package registry does not load.
for _name in ("", ".transforms", ".datasets", ".datasets.utils"):
    sys.modules["torchvision" + _name] = MagicMock()

import torchquantum as tq  # noqa: E402
import torchquantum.functional as tqf  # noqa: E402

WIRES_PER_BLOCK = 4  # of 2 to 6, the fastest for workload a, and not beaten for c and d


class Layers(tq.QuantumModule):
    """Rows of gates in sequence; a row applies one kind of gate along the qubits."""

    def __init__(self, rows: Iterable[tq.QuantumModule], *, static: bool) -> None:
        super().__init__()
        self.rows = tq.QuantumModuleList(rows)
        if static:
            self.static_on(wires_per_block=WIRES_PER_BLOCK)

    @tq.static_support
    def forward(self, device: tq.QuantumDevice) -> None:
        """Apply all rows to the device's states."""
        self.q_device = device
        for row in self.rows:
            row(device)


class Circuit(torch.nn.Module):
    """An encoder, layers and <Z> of the first qubits: x -> (batch, num_read).

    `angles` are the trainable parameters, each of shape (1, 1), row by row. In numpy they have the
    shape (layers, qubits, rows of a layer), as in `workloads`.
    """

    def __init__(
        self, encoder: tq.QuantumModule, layers: Layers, shape: tuple[int, int, int], num_read: int
    ) -> None:
        super().__init__()
        self.encoder, self.layers, self.shape, self.num_read = encoder, layers, shape, num_read
        self.measure = tq.MeasureAll(tq.PauliZ)
        gates = (gate for row in layers.rows for gate in row.ops_all)
        self.angles = [gate.params for gate in gates if gate.params is not None]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Simulate a batch."""
        device = tq.QuantumDevice(n_wires=self.shape[1], bsz=len(x))
        self.encoder(device, x)
        self.layers(device)
        return self.measure(device)[:, : self.num_read]

    def set_angles(self, values: np.ndarray) -> None:
        """Overwrite the trainable parameters."""
        with torch.no_grad():
            for angle, value in zip(self.angles, values.swapaxes(1, 2).flat, strict=True):
                angle.fill_(float(value))

    def to_numpy(self, tensors: Iterable[torch.Tensor]) -> np.ndarray:
        """Return one number for each angle, in the angles' shape."""
        num_layers, num_qubits, num_rows = self.shape
        values = np.array([t.item() for t in tensors])
        return values.reshape(num_layers, num_rows, num_qubits).swapaxes(1, 2)


def _rotations(gate: type[tq.Operation], num_qubits: int) -> tq.QuantumModule:
    return tq.Op1QAllLayer(gate, num_qubits, has_params=True, trainable=True)


def _cnots(num_qubits: int, *, ring: bool) -> tq.QuantumModule:
    return tq.Op2QAllLayer(tq.CNOT, num_qubits, jump=1, circular=ring)


def _deep_circuit(num_qubits: int, num_layers: int, *, static: bool) -> Circuit:
    """Workloads a and c."""
    n = num_qubits
    rows = (
        row
        for _ in range(num_layers)
        for row in (_cnots(n, ring=False), _rotations(tq.RY, n), _rotations(tq.RX, n))
    )
    return Circuit(tq.StateEncoder(), Layers(rows, static=static), (num_layers, n, 2), num_read=n)


class ArctanEncoder(tq.QuantumModule):
    """RY(arctan x), RZ(arctan x**2) on every qubit."""

    def __init__(self, num_qubits: int) -> None:
        super().__init__()
        gates = [
            {"input_idx": [offset + q], "func": gate, "wires": [q]}
            for gate, offset in (("ry", 0), ("rz", num_qubits))
            for q in range(num_qubits)
        ]
        self.encoder = tq.GeneralEncoder(gates)

    def forward(self, device: tq.QuantumDevice, x: torch.Tensor) -> None:
        """Encode features (batch, qubits)."""
        self.encoder(device, torch.cat([torch.arctan(x), torch.arctan(x**2)], dim=1))


def _vqc_circuit(*, static: bool) -> Circuit:
    """Workload d."""
    n, num_layers = 4, 2
    rows = (
        row
        for _ in range(num_layers)
        for row in (_cnots(n, ring=True), *(_rotations(gate, n) for gate in (tq.RZ, tq.RY, tq.RZ)))
    )
    return Circuit(ArctanEncoder(n), Layers(rows, static=static), (num_layers, n, 3), num_read=2)


def _circuit_gradient(circuit: Circuit, scale: float, workload: Workload) -> Gradient:
    """Workloads a, c and d."""
    circuit.set_angles(workload.params["angles"])
    x, y = torch.from_numpy(workload.x), torch.from_numpy(workload.y)

    def step() -> float:
        circuit.zero_grad()
        loss = cross_entropy(scale * circuit(x), y)
        loss.backward()
        return loss.item()

    def grads() -> Params:
        return {"angles": circuit.to_numpy(angle.grad for angle in circuit.angles)}

    return Gradient(step, grads)


def _generator_gradient(workload: Workload) -> Gradient:
    """Workload b."""
    n = workload.num_qubits
    params = torch_parts.parameters(workload)
    generate = torch_parts.weight_generator(n)
    x, y = torch.from_numpy(workload.x), torch.from_numpy(workload.y)

    def probabilities() -> torch.Tensor:
        device = tq.QuantumDevice(n_wires=n, bsz=1)
        singles = iter(params["u3"].reshape(-1, 1, 3).unbind())
        pairs = iter(params["cu3"].reshape(-1, 1, 3).unbind())
        for _ in range(workload.num_layers):
            for q in range(n):
                tqf.u3(device, wires=q, params=next(singles))
            for q in range(n):
                tqf.cu3(device, wires=[q, (q + 1) % n], params=next(pairs))
        return device.get_states_1d()[0, :NUM_CNN_WEIGHTS].abs() ** 2

    def step() -> float:
        torch_parts.forget_gradients(params)
        weights = generate(probabilities(), params)
        loss = cross_entropy(torch_parts.cnn_logits(weights, x), y)
        loss.backward()
        return loss.item()

    return Gradient(step, lambda: torch_parts.gradients(params))


def _gradient(workload: Workload, *, static: bool) -> Gradient:
    if workload.name == "b":
        return _generator_gradient(workload)
    if workload.name == "d":
        return _circuit_gradient(_vqc_circuit(static=static), 1.0, workload)
    circuit = _deep_circuit(workload.num_qubits, workload.num_layers, static=static)
    return _circuit_gradient(circuit, LOGIT_SCALE, workload)


def _client(*, static: bool) -> Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
    circuit = _vqc_circuit(static=static)

    def train(angles: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        circuit.set_angles(angles)
        torch_parts.train_client(lambda x, y: cross_entropy(circuit(x), y), circuit.angles, x, y)
        return circuit.to_numpy(circuit.angles)

    return train


def peer(*, static: bool) -> Peer:
    """TorchQuantum with or without static mode."""
    packages = ("torchquantum", "torch", "numpy")
    return Peer(packages, partial(_gradient, static=static), partial(_client, static=static))


if __name__ == "__main__":
    main(peer(static=True))
