"""What is benchmarked: four losses with fixed inputs, and a small numpy reference of each.

Everybody who takes part (fedket and each peer, in its own environment) loads the same inputs from
here and must reproduce the reference's loss and slope before it is timed. So this file needs numpy
only, and Python 3.11.

Conventions: qubit q is axis q of a state, the batch is the last axis, and qubit 0 is the most
significant bit of a basis index. RY, RX and RZ are exp(-i angle P / 2). References are float64.

The workloads and the papers that they are taken from:

| name | what | source |
|---|---|---|
| a | 10 qubits, 60 layers of CNOT chain, RY, RX; 1,200 angles; batch 32 | arXiv:2507.17580 |
| b | 13-qubit Quantum-Train generator of a CNN with 6,690 weights; batch 128 | arXiv:2601.09809 |
| c | as a with 6 qubits, 20 layers, 6 classes | |
| d | 4 qubits, 2 layers, arctan encoder; 24 angles; batch 32 | arXiv:2103.12010 |
| round-K | a federated round of d: K clients, 4 Adam steps of 32 samples each, plain mean | |
| a-of-1 | ten steps of a by one client, per step; without a reference of its own | |
| a-of-1000 | a round of 1,000 clients that take one step of a; without a reference of its own | |
"""

from collections.abc import Callable
from functools import reduce
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

Array = np.ndarray
Params = dict[str, Array]

SEED = 20_260_101
GRADIENTS = ("a", "b", "c", "d")
ROUNDS = ("round-5", "round-20", "round-100", "round-1000", "a-of-1", "a-of-1000")
LOGIT_SCALE = 10.0  # of a and c: softmax(10 <Z_i>)
EPSILON = 1e-6  # of b: keeps the slope of x**0.3 finite at 0
MAP_WIDTHS = (14, 4, 20, 4, 1)  # of b: from 13 bits and a probability to a weight
MAP_GAIN = (
    1.1  # of b: at PyTorch's default, 1, all logits are near 0 and a wrong circuit would pass
)
CNN_SHAPES = {
    "conv1_w": (8, 1, 5, 5),
    "conv1_b": (8,),
    "conv2_w": (12, 8, 5, 5),
    "conv2_b": (12,),
    "fc1_w": (20, 192),
    "fc1_b": (20,),
    "fc2_w": (10, 20),
    "fc2_b": (10,),
}
NUM_CNN_WEIGHTS = sum(int(np.prod(shape)) for shape in CNN_SHAPES.values())  # 6,690
LOCAL_STEPS, LEARNING_RATE = 4, 1e-2  # of round-K: Adam with b1 = 0.9, b2 = 0.999, eps = 1e-8
SHIFT = np.pi / 2


class Workload(NamedTuple):
    """One loss: its size, its fixed inputs (float32, labels int64) and its reference.

    Params are `angles` (layers, qubits, 2: RY, RX) for a and c; `angles` (2, 4, 3: alpha, beta,
    gamma) for d; `u3` and `cu3` (16, 13, 3: theta, phi, lambda; entry k of `cu3` is controlled by
    qubit k) and `w0`, `b0` ... `w3`, `b3` (the map; weights are (out, in)) for b.
    Inputs `x` are unit vectors (32, 2**qubits) for a and c, images (128, 1, 28, 28) for b, and
    features (32, 4) for d.
    """

    name: str
    num_qubits: int
    num_layers: int
    params: Params
    x: Array
    y: Array
    loss: Callable[[Params, Array, Array], float]


class Reference(NamedTuple):
    """The loss at the fixed inputs and its slope along a fixed direction in parameter space."""

    loss: float
    slope: float
    direction: Params


class Round(NamedTuple):
    """A federated round of d: x is (clients, 4, 32, 4), y (clients, 4, 32), angles (2, 4, 3)."""

    num_clients: int
    angles: Array
    x: Array
    y: Array


def load(name: str) -> Workload:
    """Return workload `a`, `b`, `c` or `d`."""
    rng = np.random.default_rng([SEED, ord(name)])
    return _BUILDERS[name](rng)


def load_round(num_clients: int) -> Round:
    """Return the inputs of a federated round; those of the first clients do not depend on K."""
    rng = np.random.default_rng([SEED, ord("r")])
    samples = [_features(rng, (LOCAL_STEPS, 32)) for _ in range(num_clients)]
    return Round(
        num_clients,
        load("d").params["angles"],
        np.stack([x for x, _ in samples]),
        np.stack([y for _, y in samples]),
    )


def reference(workload: Workload, step: float = 1e-7) -> Reference:
    """Compute loss and slope in float64; the slope by a central difference of width 2 `step`."""
    rng = np.random.default_rng([SEED, 0])
    direction = {name: rng.standard_normal(p.shape) for name, p in workload.params.items()}

    def loss_at(distance: float) -> float:
        shifted = {n: p + distance * direction[n] for n, p in workload.params.items()}
        return workload.loss(shifted, workload.x.astype(np.float64), workload.y)

    slope = (loss_at(step) - loss_at(-step)) / (2 * step)
    return Reference(loss_at(0.0), slope, direction)


def slope_along(direction: Params, grads: Params) -> float:
    """Return the inner product of a gradient with a direction."""
    return float(sum(np.vdot(direction[name], grads[name]) for name in direction))


def reference_round(task: Round) -> Array:
    """Return the mean of the clients' angles, by the parameter-shift rule and a literal Adam."""
    clients = zip(task.x, task.y, strict=True)
    return np.mean([_train_client(task.angles, x, y) for x, y in clients], axis=0)


def round_loss(task: Round, angles: Array) -> float:
    """Return the loss of some angles over all data of a round.

    Rounds are compared by this number: some angles of the last layer have no effect on the
    read-out, so Adam moves them by rounding noise.
    """
    return _vqc_loss({"angles": angles}, task.x.reshape(-1, 4).astype(float), task.y.reshape(-1))


# --- gates -------------------------------------------------------------------------------------

CNOT = np.eye(4)[[0, 1, 3, 2]]


def apply_gate(gate: Array, psi: Array, qubits: tuple[int, ...]) -> Array:
    """Apply a k-qubit gate (2**k, 2**k) to a state (2, ..., 2, batch)."""
    k = len(qubits)
    tensor = gate.reshape((2,) * (2 * k))
    psi = np.tensordot(tensor, psi, axes=(tuple(range(k, 2 * k)), qubits))
    return np.moveaxis(psi, tuple(range(k)), qubits)


def ry(angle: float) -> Array:
    c, s = np.cos(angle / 2), np.sin(angle / 2)
    return np.array([[c, -s], [s, c]])


def rx(angle: float) -> Array:
    c, s = np.cos(angle / 2), np.sin(angle / 2)
    return np.array([[c, -1j * s], [-1j * s, c]])


def rz(angle: float) -> Array:
    return np.diag(np.exp([-0.5j * angle, 0.5j * angle]))


def u3(theta: float, phi: float, lam: float) -> Array:
    c, s = np.cos(theta / 2), np.sin(theta / 2)
    return np.array(
        [[c, -np.exp(1j * lam) * s], [np.exp(1j * phi) * s, np.exp(1j * (phi + lam)) * c]]
    )


def controlled(gate: Array) -> Array:
    """Return the gate controlled by a qubit that comes before its own."""
    return np.block([[np.eye(2), np.zeros((2, 2))], [np.zeros((2, 2)), gate]])


def expval_z(psi: Array, num: int) -> Array:
    """Return <Z_i> for the first `num` qubits, shape (batch, num)."""
    probs = np.abs(psi) ** 2
    axes = range(psi.ndim - 1)
    marginals = [probs.sum(axis=tuple(a for a in axes if a != q)) for q in range(num)]
    return np.stack([p[0] - p[1] for p in marginals], axis=-1)


def cross_entropy(logits: Array, y: Array) -> float:
    """Return the mean of -log softmax(logits)[y]; logits are (batch, classes)."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probs = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return float(-log_probs[np.arange(len(y)), y].mean())


# --- a and c: hardware-efficient layers on amplitudes --------------------------------------------


def _layers_loss(params: Params, x: Array, y: Array) -> float:
    num_qubits = params["angles"].shape[1]
    psi = x.T.reshape((2,) * num_qubits + (-1,))
    for layer in params["angles"]:
        for q in range(num_qubits - 1):
            psi = apply_gate(CNOT, psi, (q, q + 1))
        for q, (beta, alpha) in enumerate(layer):
            psi = apply_gate(rx(alpha) @ ry(beta), psi, (q,))
    return cross_entropy(LOGIT_SCALE * expval_z(psi, num_qubits), y)


def _layers(name: str, num_qubits: int, num_layers: int, rng: np.random.Generator) -> Workload:
    num_pixels = 28 * 28 if num_qubits == 10 else 2**num_qubits
    images = rng.random((32, num_pixels)) ** 3
    if num_pixels < 2**num_qubits:
        images = np.pad(images.reshape(32, 28, 28), ((0, 0), (2, 2), (2, 2))).reshape(32, -1)
    x = (images / np.linalg.norm(images, axis=1, keepdims=True)).astype(np.float32)
    y = rng.integers(0, num_qubits, 32)
    angles = (0.1 * rng.standard_normal((num_layers, num_qubits, 2))).astype(np.float32)
    return Workload(name, num_qubits, num_layers, {"angles": angles}, x, y, _layers_loss)


# --- b: Quantum-Train ----------------------------------------------------------------------------


def basis_signs(num_qubits: int, num: int) -> Array:
    """Return the bits of 0 ... num - 1 as -1 and 1, most significant first, (num, qubits)."""
    bits = (np.arange(num)[:, None] >> np.arange(num_qubits)[::-1]) & 1
    return 2.0 * bits - 1.0


def _generate(params: Params) -> Array:
    """Return the CNN's 6,690 weights."""
    num_qubits = params["u3"].shape[1]
    psi = np.zeros((2,) * num_qubits + (1,), complex)
    psi[(0,) * (num_qubits + 1)] = 1.0
    for singles, pairs in zip(params["u3"], params["cu3"], strict=True):
        for q, angles in enumerate(singles):
            psi = apply_gate(u3(*angles), psi, (q,))
        for q, angles in enumerate(pairs):
            psi = apply_gate(controlled(u3(*angles)), psi, (q, (q + 1) % num_qubits))
    probs = np.abs(psi.reshape(-1)[:NUM_CNN_WEIGHTS]) ** 2
    scaled = (0.8 * np.tanh(0.1 * 2**12 * probs) + EPSILON) ** 0.3
    inputs = np.column_stack([basis_signs(num_qubits, len(probs)), scaled - scaled.mean()])
    layers = [(params[f"w{i}"], params[f"b{i}"]) for i in range(len(MAP_WIDTHS) - 1)]
    weights = reduce(lambda h, layer: h @ layer[0].T + layer[1], layers, inputs)[:, 0]
    return weights - weights.mean()


def _conv_pool(x: Array, w: Array, b: Array) -> Array:
    """Convolve (batch, in, h, w) with (out, in, 5, 5), add the bias, max-pool by 2."""
    windows = sliding_window_view(x, (5, 5), axis=(2, 3))
    y = np.moveaxis(np.tensordot(windows, w, axes=((1, 4, 5), (1, 2, 3))), -1, 1)
    batch, channels, height, width = y.shape
    pooled = y.reshape(batch, channels, height // 2, 2, width // 2, 2).max(axis=(3, 5))
    return pooled + b[:, None, None]


def _quantum_train_loss(params: Params, x: Array, y: Array) -> float:
    ends = np.cumsum([int(np.prod(shape)) for shape in CNN_SHAPES.values()])[:-1]
    parts = np.split(_generate(params), ends)
    shapes = CNN_SHAPES.items()
    cnn = {name: p.reshape(shape) for (name, shape), p in zip(shapes, parts, strict=True)}
    h = _conv_pool(x, cnn["conv1_w"], cnn["conv1_b"])
    h = _conv_pool(h, cnn["conv2_w"], cnn["conv2_b"]).reshape(len(x), -1)
    h = h @ cnn["fc1_w"].T + cnn["fc1_b"]
    return cross_entropy(h @ cnn["fc2_w"].T + cnn["fc2_b"], y)


def _quantum_train(rng: np.random.Generator) -> Workload:
    num_qubits, num_layers = 13, 16
    angles = rng.uniform(-np.pi, np.pi, (2, num_layers, num_qubits, 3)).astype(np.float32)
    params = {"u3": angles[0], "cu3": angles[1]}
    for i, (fan_in, fan_out) in enumerate(pairwise(MAP_WIDTHS)):
        bound = MAP_GAIN * fan_in**-0.5
        params[f"w{i}"] = rng.uniform(-bound, bound, (fan_out, fan_in)).astype(np.float32)
        params[f"b{i}"] = rng.uniform(-bound, bound, fan_out).astype(np.float32)
    x = rng.uniform(-1.0, 1.0, (128, 1, 28, 28)).astype(np.float32)
    y = rng.integers(0, 10, 128)
    return Workload("b", num_qubits, num_layers, params, x, y, _quantum_train_loss)


# --- d and round-K: Chen & Yoo's circuit ---------------------------------------------------------


def _vqc_logits(angles: Array, x: Array) -> Array:
    """Return <Z_0>, <Z_1> after RY(arctan x), RZ(arctan x**2) and two layers; (batch, 2)."""
    psi = np.ones(len(x), complex)
    for a, b in zip(np.arctan(x).T, np.arctan(x**2).T, strict=True):
        qubit = np.stack([np.exp(-0.5j * b) * np.cos(a / 2), np.exp(0.5j * b) * np.sin(a / 2)])
        psi = psi[..., None, :] * qubit
    num_qubits = x.shape[1]
    for layer in angles:
        for q in range(num_qubits):
            psi = apply_gate(CNOT, psi, (q, (q + 1) % num_qubits))
        for q, (alpha, beta, gamma) in enumerate(layer):
            psi = apply_gate(rz(gamma) @ ry(beta) @ rz(alpha), psi, (q,))
    return expval_z(psi, 2)


def _vqc_loss(params: Params, x: Array, y: Array) -> float:
    return cross_entropy(_vqc_logits(params["angles"], x), y)


def _features(rng: np.random.Generator, shape: tuple[int, ...]) -> tuple[Array, Array]:
    """Return features (*shape, 4) and labels (*shape,) that depend on them."""
    x = rng.standard_normal((*shape, 4)).astype(np.float32)
    return x, (x[..., 0] + x[..., 1] > 0).astype(np.int64)


def _vqc(rng: np.random.Generator) -> Workload:
    angles = rng.uniform(-np.pi, np.pi, (2, 4, 3)).astype(np.float32)
    x, y = _features(rng, (32,))
    return Workload("d", 4, 2, {"angles": angles}, x, y, _vqc_loss)


def _vqc_grad(angles: Array, x: Array, y: Array) -> Array:
    """Return the gradient of the loss: parameter shift of the logits, then the chain rule."""
    logits = _vqc_logits(angles, x)
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    cotangent = (probs - np.eye(2)[y]) / len(y)
    grad = np.zeros(angles.size)
    for i in range(angles.size):
        shift = SHIFT * (np.arange(angles.size) == i).reshape(angles.shape)
        jacobian = (_vqc_logits(angles + shift, x) - _vqc_logits(angles - shift, x)) / 2
        grad[i] = np.vdot(cotangent, jacobian)
    return grad.reshape(angles.shape)


def _train_client(angles: Array, x: Array, y: Array) -> Array:
    """Take one Adam step (Kingma & Ba 2015, Algorithm 1) per batch of x (steps, batch, 4)."""
    angles = angles.astype(float)
    m, v = np.zeros_like(angles), np.zeros_like(angles)
    for t, (x_t, y_t) in enumerate(zip(x.astype(float), y, strict=True), start=1):
        grad = _vqc_grad(angles, x_t, y_t)
        m = 0.9 * m + 0.1 * grad
        v = 0.999 * v + 0.001 * grad**2
        m_hat, v_hat = m / (1 - 0.9**t), v / (1 - 0.999**t)
        angles = angles - LEARNING_RATE * m_hat / (np.sqrt(v_hat) + 1e-8)
    return angles


_BUILDERS: dict[str, Callable[[np.random.Generator], Workload]] = {
    "a": lambda rng: _layers("a", 10, 60, rng),
    "b": _quantum_train,
    "c": lambda rng: _layers("c", 6, 20, rng),
    "d": _vqc,
}
