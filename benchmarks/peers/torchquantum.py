"""TorchQuantum: batched statevectors, PyTorch's autograd, its static mode where that is faster.

Static mode (`static_on`) multiplies the gates of up to `wires_per_block` qubits into one matrix
before it touches the state.
"""

import sys
from collections.abc import Callable, Iterator
from unittest.mock import MagicMock

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from benchmarks.peers import torch_parts
from benchmarks.peers.common import Gradient, Peer, main
from benchmarks.workloads import LOGIT_SCALE, NUM_CNN_WEIGHTS, Params, Workload

# TorchQuantum imports torchvision for its data sets, which are not used here; where PyTorch is a
# CPU build, torchvision's package from the registry does not load.
for _name in ("", ".transforms", ".datasets", ".datasets.utils"):
    sys.modules["torchvision" + _name] = MagicMock()

import torchquantum as tq  # noqa: E402

WIRES_PER_BLOCK = {"a": 4, "b": None, "c": 4, "d": 4}  # None: gate by gate


class Layers(tq.QuantumModule):
    """Rows of gates in sequence; a row applies one kind of gate along the qubits."""

    def __init__(self, rows: list[tq.QuantumModule], wires_per_block: int | None) -> None:
        super().__init__()
        self.rows = tq.QuantumModuleList(rows)
        if wires_per_block:
            self.static_on(wires_per_block=wires_per_block)

    @tq.static_support
    def forward(self, device: tq.QuantumDevice) -> None:
        """Apply all rows to the device's states."""
        self.q_device = device
        for row in self.rows:
            row(device)

    def angles(self) -> list[torch.nn.Parameter]:
        """Return the parameters (1, angles of a gate), row by row."""
        gates: Iterator[tq.Operation] = (gate for row in self.rows for gate in row.ops_all)
        return [gate.params for gate in gates if gate.params is not None]

    def set_angles(self, values: np.ndarray) -> None:
        """Overwrite the parameters with values (gates, angles of a gate), row by row."""
        with torch.no_grad():
            for p, value in zip(self.angles(), torch.from_numpy(values), strict=True):
                p.copy_(value[None])

    def grads(self) -> np.ndarray:
        """Return the gradients in the shape of `set_angles`."""
        return np.concatenate([p.grad.numpy() for p in self.angles()])


def _rotations(gate: type[tq.Operation], num_qubits: int) -> tq.QuantumModule:
    return tq.Op1QAllLayer(gate, num_qubits, has_params=True, trainable=True)


def _cnots(num_qubits: int, *, ring: bool) -> tq.QuantumModule:
    return tq.Op2QAllLayer(tq.CNOT, num_qubits, jump=1, circular=ring)


class Circuit(torch.nn.Module):
    """An encoder, layers, and <Z> of every qubit: x -> (batch, qubits)."""

    def __init__(self, encoder: tq.QuantumModule, layers: Layers, num_qubits: int) -> None:
        super().__init__()
        self.encoder, self.layers, self.num_qubits = encoder, layers, num_qubits
        self.measure = tq.MeasureAll(tq.PauliZ)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Simulate a batch."""
        device = tq.QuantumDevice(n_wires=self.num_qubits, bsz=len(x))
        self.encoder(device, x)
        self.layers(device)
        return self.measure(device)


def _layers_gradient(workload: Workload) -> Gradient:
    """Workloads a and c."""
    n = workload.num_qubits
    rows = [
        row
        for _ in range(workload.num_layers)
        for row in (_cnots(n, ring=False), _rotations(tq.RY, n), _rotations(tq.RX, n))
    ]
    layers = Layers(rows, WIRES_PER_BLOCK[workload.name])
    layers.set_angles(workload.params["angles"].swapaxes(1, 2).reshape(-1, 1))
    circuit = Circuit(tq.StateEncoder(), layers, n)
    x, y = torch.from_numpy(workload.x), torch.from_numpy(workload.y)

    def step() -> float:
        circuit.zero_grad()
        loss = cross_entropy(LOGIT_SCALE * circuit(x), y)
        loss.backward()
        return loss.item()

    def grads() -> Params:
        return {"angles": layers.grads().reshape(workload.num_layers, 2, n).swapaxes(1, 2)}

    return Gradient(step, grads)


def _generator_gradient(workload: Workload) -> Gradient:
    """Workload b."""
    n, num_layers = workload.num_qubits, workload.num_layers
    rows = [
        row
        for _ in range(num_layers)
        for row in (
            _rotations(tq.U3, n),
            tq.Op2QAllLayer(tq.CU3, n, has_params=True, trainable=True, jump=1, circular=True),
        )
    ]
    layers = Layers(rows, WIRES_PER_BLOCK["b"])
    layers.set_angles(
        np.stack([workload.params["u3"], workload.params["cu3"]], axis=1).reshape(-1, 3)
    )
    params = torch_parts.parameters(workload)
    generate = torch_parts.weight_generator(n)
    x, y = torch.from_numpy(workload.x), torch.from_numpy(workload.y)

    def step() -> float:
        layers.zero_grad()
        torch_parts.forget_gradients(params)
        device = tq.QuantumDevice(n_wires=n, bsz=1)
        layers(device)
        probs = device.get_states_1d()[0, :NUM_CNN_WEIGHTS].abs() ** 2
        loss = cross_entropy(torch_parts.cnn_logits(generate(probs, params), x), y)
        loss.backward()
        return loss.item()

    def grads() -> Params:
        u3, cu3 = layers.grads().reshape(num_layers, 2, n, 3).swapaxes(0, 1)
        mapped = {name: p.grad.numpy() for name, p in params.items() if p.grad is not None}
        return mapped | {"u3": u3, "cu3": cu3}

    return Gradient(step, grads)


class ArctanEncoder(tq.QuantumModule):
    """RY(arctan x), RZ(arctan x**2) on every qubit."""

    def __init__(self, num_qubits: int) -> None:
        super().__init__()
        gates = [(q, "ry", q) for q in range(num_qubits)]
        gates += [(num_qubits + q, "rz", q) for q in range(num_qubits)]
        self.encoder = tq.GeneralEncoder(
            [{"input_idx": [i], "func": gate, "wires": [q]} for i, gate, q in gates]
        )

    def forward(self, device: tq.QuantumDevice, x: torch.Tensor) -> None:
        """Encode features (batch, qubits)."""
        self.encoder(device, torch.cat([torch.arctan(x), torch.arctan(x**2)], dim=1))


def _vqc() -> Circuit:
    """Workload d."""
    gates = (tq.RZ, tq.RY, tq.RZ)
    rows = [r for _ in range(2) for r in (_cnots(4, ring=True), *(_rotations(g, 4) for g in gates))]
    return Circuit(ArctanEncoder(4), Layers(rows, WIRES_PER_BLOCK["d"]), 4)


def _vqc_gradient(workload: Workload) -> Gradient:
    circuit = _vqc()
    circuit.layers.set_angles(_by_row(workload.params["angles"]))
    x, y = torch.from_numpy(workload.x), torch.from_numpy(workload.y)

    def step() -> float:
        circuit.zero_grad()
        loss = cross_entropy(circuit(x)[:, :2], y)
        loss.backward()
        return loss.item()

    return Gradient(step, lambda: {"angles": _by_qubit(circuit.layers.grads())})


def _by_row(angles: np.ndarray) -> np.ndarray:
    return angles.swapaxes(1, 2).reshape(-1, 1)


def _by_qubit(rows: np.ndarray) -> np.ndarray:
    return rows.reshape(2, 3, 4).swapaxes(1, 2)


def _client() -> Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
    circuit = _vqc()

    def loss(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return cross_entropy(circuit(x)[:, :2], y)

    def train(angles: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        circuit.layers.set_angles(_by_row(angles))
        trained = circuit.layers.angles()
        torch_parts.train_client(loss, trained, x, y)
        return _by_qubit(np.stack([p.detach().numpy()[0] for p in trained]))

    return train


def _gradient(workload: Workload) -> Gradient:
    builders = {"b": _generator_gradient, "d": _vqc_gradient}
    return builders.get(workload.name, _layers_gradient)(workload)


if __name__ == "__main__":
    main(Peer(("torchquantum", "torch", "numpy"), _gradient, _client))
