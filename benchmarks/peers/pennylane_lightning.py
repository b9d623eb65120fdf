"""PennyLane's lightning.qubit: the C++ simulator with adjoint gradients, sample by sample.

Adjoint gradients take no batch of inputs: PennyLane splits a broadcast circuit into samples itself,
which was no faster when tried, nor was `batch_obs`. `device_vjp` was slower too, and its gradients
of workload a were wrong from two samples on (0.45). Single precision, as fedket.
"""

from collections.abc import Callable

import numpy as np
import pennylane as qml
import torch
from scipy import sparse
from torch.nn.functional import cross_entropy

from benchmarks.peers import pennylane_circuits as circuits
from benchmarks.peers import torch_parts
from benchmarks.peers.common import Gradient, Peer, main
from benchmarks.workloads import LOGIT_SCALE, NUM_CNN_WEIGHTS, Workload


def _qnode(circuit: Callable, num_qubits: int, diff_method: str | None = "adjoint") -> qml.QNode:
    device = qml.device("lightning.qubit", wires=num_qubits, c_dtype=np.complex64)
    return qml.QNode(circuit, device, interface="torch", diff_method=diff_method)


def _gradient(workload: Workload) -> Gradient:
    if workload.name == "b":
        return _generator_gradient(workload)
    params = torch_parts.parameters(workload)
    logits = _vqc_logits if workload.name == "d" else _layers_logits(workload.num_qubits)
    x, y = torch.from_numpy(workload.x), torch.from_numpy(workload.y)

    def step() -> float:
        torch_parts.forget_gradients(params)
        loss = cross_entropy(logits(params["angles"], x), y)
        loss.backward()
        return loss.item()

    return Gradient(step, lambda: torch_parts.gradients(params))


def _layers_logits(num_qubits: int) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    node = _qnode(circuits.layers, num_qubits)

    def logits(angles: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        separate = circuits.flat(angles)
        rows = [torch.stack(node(separate, sample.double(), num_qubits)) for sample in x]
        return LOGIT_SCALE * torch.stack(rows)

    return logits


_vqc_node = _qnode(circuits.vqc, 4)


def _vqc_logits(angles: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    separate = circuits.flat(angles)
    return torch.stack([torch.stack(_vqc_node(separate, sample)) for sample in x])


def _generator_gradient(workload: Workload) -> Gradient:
    """Workload b in two passes, since adjoint gradients are of expectation values only.

    With g_k the derivative of the loss by probability p_k, held fixed, the gradient of the loss by
    the angles is that of sum_k g_k p_k, the expectation value of the diagonal matrix of g.
    """
    num_qubits = workload.num_qubits
    params = torch_parts.parameters(workload)
    generate = torch_parts.weight_generator(num_qubits)
    x, y = torch.from_numpy(workload.x), torch.from_numpy(workload.y)

    def probs(u3: circuits.Angles, cu3: circuits.Angles) -> qml.measurements.ProbabilityMP:
        circuits.generator(u3, cu3, num_qubits)
        return qml.probs(wires=range(num_qubits))

    def weighted(
        u3: circuits.Angles, cu3: circuits.Angles, g: np.ndarray
    ) -> qml.measurements.ExpectationMP:
        circuits.generator(u3, cu3, num_qubits)
        diagonal = sparse.diags(g).tocsr()
        return qml.expval(qml.SparseHamiltonian(diagonal, wires=range(num_qubits)))

    probs_node = _qnode(probs, num_qubits, diff_method=None)
    weighted_node = _qnode(weighted, num_qubits)

    def step() -> float:
        torch_parts.forget_gradients(params)
        u3, cu3 = circuits.flat(params["u3"]), circuits.flat(params["cu3"])
        with torch.no_grad():
            p = torch.as_tensor(probs_node(u3, cu3)[:NUM_CNN_WEIGHTS]).float()
        p.requires_grad_()
        loss = cross_entropy(torch_parts.cnn_logits(generate(p, params), x), y)
        loss.backward()
        g = np.pad(p.grad.numpy(), (0, 2**num_qubits - NUM_CNN_WEIGHTS))
        weighted_node(u3, cu3, g).backward()
        return loss.item()

    return Gradient(step, lambda: torch_parts.gradients(params))


def _client() -> Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
    def train(angles: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        trained = torch.tensor(angles, requires_grad=True)

        def loss(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return cross_entropy(_vqc_logits(trained, x), y)

        torch_parts.train_client(loss, [trained], x, y)
        return trained.detach().numpy()

    return train


if __name__ == "__main__":
    packages = ("pennylane", "pennylane-lightning", "torch", "numpy")
    main(
        Peer(packages, _gradient, _client, threaded=False)
    )  # nothing of one sample is large enough
