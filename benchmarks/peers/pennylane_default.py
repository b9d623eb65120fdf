"""PennyLane's default.qubit: backpropagation in PyTorch, the whole batch broadcast at once.

Under `jax.jit` the deep circuits do not compile in minutes, so PyTorch's eager mode it is. Single
precision throughout, as in fedket.
"""

from collections.abc import Callable

import numpy as np
import pennylane as qml
import torch
from torch.nn.functional import cross_entropy

from benchmarks.peers import pennylane_circuits as circuits
from benchmarks.peers import torch_parts
from benchmarks.peers.common import Gradient, Peer, main
from benchmarks.workloads import LOGIT_SCALE, NUM_CNN_WEIGHTS, Workload

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def _qnode(circuit: Callable, num_qubits: int) -> qml.QNode:
    device = qml.device("default.qubit", wires=num_qubits)
    return qml.QNode(circuit, device, interface="torch", diff_method="backprop")


def _gradient(workload: Workload) -> Gradient:
    params = torch_parts.parameters(workload)
    loss = {"b": _generator_loss, "d": _vqc_loss}.get(workload.name, _layers_loss)(workload, params)
    y = torch.from_numpy(workload.y)
    x = torch.from_numpy(workload.x)

    def step() -> float:
        torch_parts.forget_gradients(params)
        value = loss(x, y)
        value.backward()
        return value.item()

    return Gradient(step, lambda: torch_parts.gradients(params))


def _layers_loss(workload: Workload, params: torch_parts.Tensors) -> Loss:
    node = _qnode(circuits.layers, workload.num_qubits)

    def loss(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        expvals = node(circuits.flat(params["angles"]), x, workload.num_qubits)
        return cross_entropy(LOGIT_SCALE * torch.stack(expvals, dim=-1), y)

    return loss


def _generator_loss(workload: Workload, params: torch_parts.Tensors) -> Loss:
    def circuit(u3: circuits.Angles, cu3: circuits.Angles) -> qml.measurements.ProbabilityMP:
        circuits.generator(u3, cu3, workload.num_qubits)
        return qml.probs(wires=range(workload.num_qubits))

    node = _qnode(circuit, workload.num_qubits)
    generate = torch_parts.weight_generator(workload.num_qubits)

    def loss(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        probs = node(circuits.flat(params["u3"]), circuits.flat(params["cu3"]))
        weights = generate(probs[:NUM_CNN_WEIGHTS].float(), params)
        return cross_entropy(torch_parts.cnn_logits(weights, x), y)

    return loss


def _vqc_loss(workload: Workload, params: torch_parts.Tensors) -> Loss:
    node = _qnode(circuits.vqc, workload.num_qubits)

    def loss(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        expvals = node(circuits.flat(params["angles"]), x)
        return cross_entropy(torch.stack(expvals, dim=-1), y)

    return loss


def _client() -> Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
    node = _qnode(circuits.vqc, 4)

    def train(angles: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        trained = torch.tensor(angles, requires_grad=True)

        def loss(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return cross_entropy(torch.stack(node(circuits.flat(trained), x), dim=-1), y)

        torch_parts.train_client(loss, [trained], x, y)
        return trained.detach().numpy()

    return train


if __name__ == "__main__":
    main(Peer(("pennylane", "torch", "numpy"), _gradient, _client))
