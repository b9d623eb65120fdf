"""The parts that all peers here leave to PyTorch: parameters, Quantum-Train's map and CNN, Adam."""

from collections.abc import Callable
from itertools import accumulate, pairwise

import numpy as np
import torch
from torch.nn.functional import conv2d, linear, max_pool2d

from benchmarks.workloads import (
    CNN_SHAPES,
    EPSILON,
    LEARNING_RATE,
    MAP_WIDTHS,
    NUM_CNN_WEIGHTS,
    Params,
    Workload,
    basis_signs,
)

Tensors = dict[str, torch.Tensor]


def parameters(workload: Workload) -> Tensors:
    """Return the workload's parameters as leaves that collect gradients."""
    return {name: torch.tensor(p, requires_grad=True) for name, p in workload.params.items()}


def gradients(params: Tensors) -> Params:
    """Return the collected gradients."""
    return {name: p.grad.numpy() for name, p in params.items()}


def forget_gradients(params: Tensors) -> None:
    """Prepare for the next step, as `optimizer.zero_grad()` does."""
    for p in params.values():
        p.grad = None


def weight_generator(num_qubits: int) -> Callable[[torch.Tensor, Tensors], torch.Tensor]:
    """Return the map of Quantum-Train, from probabilities (6690,) to the weights of the CNN."""
    signs = torch.tensor(basis_signs(num_qubits, NUM_CNN_WEIGHTS), dtype=torch.float32)

    def generate(probs: torch.Tensor, params: Tensors) -> torch.Tensor:
        scaled = (0.8 * torch.tanh(0.1 * 2**12 * probs) + EPSILON) ** 0.3
        h = torch.cat([signs, (scaled - scaled.mean())[:, None]], dim=1)
        for i in range(len(MAP_WIDTHS) - 1):
            h = linear(h, params[f"w{i}"], params[f"b{i}"])
        return h[:, 0] - h.mean()

    return generate


def cnn_logits(weights: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return the logits (batch, 10) of the CNN with these 6,690 weights on images."""
    sizes = [int(np.prod(shape)) for shape in CNN_SHAPES.values()]
    slices = pairwise([0, *accumulate(sizes)])
    shapes = CNN_SHAPES.items()
    cnn = {
        name: weights[a:b].reshape(shape)
        for (name, shape), (a, b) in zip(shapes, slices, strict=True)
    }
    h = max_pool2d(conv2d(x, cnn["conv1_w"], cnn["conv1_b"]), 2)
    h = max_pool2d(conv2d(h, cnn["conv2_w"], cnn["conv2_b"]), 2).flatten(1)
    h = linear(h, cnn["fc1_w"], cnn["fc1_b"])
    return linear(h, cnn["fc2_w"], cnn["fc2_b"])


def train_client(
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    params: list[torch.Tensor],
    x: np.ndarray,
    y: np.ndarray,
) -> None:
    """Take one Adam step in place on each batch of x (steps, batch, 4)."""
    optimizer = torch.optim.Adam(params, lr=LEARNING_RATE)
    for x_step, y_step in zip(torch.from_numpy(x), torch.from_numpy(y), strict=True):
        optimizer.zero_grad()
        loss(x_step, y_step).backward()
        optimizer.step()
