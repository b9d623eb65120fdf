"""Quantum-Train (QFed, arXiv:2601.09809): a circuit and a small map generate a network's weights.

Only the circuit's angles and the map are trained and sent; what is deployed is the plain network.
Constants are those of the authors' public code, listed in the docstrings.
"""

from math import prod

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from fedket.models.layers import as_images, conv2d, flatten, init_linear, linear, max_pool
from fedket.quantum import Circuit, probabilities, run_circuit
from fedket.quantum.ansatz import quantum_train as quantum_train_circuit
from fedket.types import Model, Params

TARGET_SHAPES = {
    "conv1": ((8, 1, 5, 5), (8,)),
    "conv2": ((12, 8, 5, 5), (12,)),
    "fc1": ((20, 192), (20,)),
    "fc2": ((10, 20), (10,)),
}
"""Kernel and bias of each layer in the order weights are cut, 6,690 in all.

Layouts are PyTorch's, as in the authors' code: (out, in, height, width) and (out, in).
"""

_EPSILON = 1e-6
"""Added before the power 0.3, whose slope at 0 is infinite."""


def quantum_train(num_layers: int = 16) -> Model:
    """QFed's model: 13 qubits, 1,248 angles and 249 map parameters generate a 6,690-weight CNN.

    Args:
        num_layers: Blocks of U3 and CU3 ring; the paper's 16 gives 1,497 trained parameters.
    """
    num_weights = sum(prod(shape) for pair in TARGET_SHAPES.values() for shape in pair)
    circuit = quantum_train_circuit((num_weights - 1).bit_length(), num_layers)

    def init(rng: PRNGKeyArray) -> Params:
        angle_rng, map_rng = jax.random.split(rng)
        angles = jax.random.uniform(angle_rng, circuit.params_shape, minval=-jnp.pi, maxval=jnp.pi)
        return {"angles": angles, "map": _init_map(map_rng, circuit.num_qubits + 1)}

    def apply(
        params: Params,
        x: Float[Array, "batch *shape"],
        rng: PRNGKeyArray | None = None,  # noqa: ARG001 - exact probabilities draw nothing
    ) -> Float[Array, "batch classes"]:
        return target_network(generate_weights(circuit, params, num_weights), x)

    return Model(init, apply, layered={"angles": True, "map": False})


def generate_weights(
    circuit: Circuit, params: Params, num_weights: int
) -> Float[Array, " weights"]:
    """Weights from measurement probabilities, mean 0.

    p: the first `num_weights` Born probabilities of the circuit on |0…0>, not renormalised.
    x = (0.8 tanh(0.1 · 2**(n−1) · p) + ε)**0.3, minus its mean; the map takes the basis state's
    bits as ±1 (most significant first) and x; its output minus its mean is the weight vector.
    """
    zero = jnp.zeros((2**circuit.num_qubits, 1), jnp.result_type(params["angles"], jnp.complex64))
    psi = run_circuit(circuit, params["angles"], zero.at[0].set(1))
    p = probabilities(psi)[:num_weights, 0]
    x = (0.8 * jnp.tanh(0.1 * 2 ** (circuit.num_qubits - 1) * p) + _EPSILON) ** 0.3
    bits = _basis_bits(circuit.num_qubits, num_weights)
    features = jnp.concatenate([jnp.asarray(bits, x.dtype), (x - x.mean())[None]])
    weights = _apply_map(params["map"], features)
    return weights - weights.mean()


def target_network(
    weights: Float[Array, " weights"], x: Float[Array, "batch *shape"]
) -> Float[Array, "batch classes"]:
    """The plain CNN: two convolutions with max-pooling and two linear layers, no activations."""
    layers = _cut(weights)
    h = as_images(x, 28)
    for name in ("conv1", "conv2"):
        h = max_pool(conv2d(*layers[name], h))
    h = flatten(h)
    for name in ("fc1", "fc2"):
        h = linear(*layers[name], h)
    return h.T


def _cut(weights: Float[Array, " weights"]) -> dict[str, tuple[Array, Array]]:
    layers, start = {}, 0
    for name, shapes in TARGET_SHAPES.items():
        tensors = []
        for shape in shapes:
            tensors.append(weights[start : start + prod(shape)].reshape(shape))
            start += prod(shape)
        layers[name] = (tensors[0], tensors[1])
    return layers


def _basis_bits(num_qubits: int, count: int) -> np.ndarray:
    """Bits of 0 … count − 1 as ±1, most significant first, shape (num_qubits, count)."""
    shifts = np.arange(num_qubits - 1, -1, -1)
    return 2 * ((np.arange(count) >> shifts[:, None]) & 1) - 1


def _init_map(rng: PRNGKeyArray, inputs: int) -> Params:
    widths = [(inputs, 4), (4, 20), (20, 4), (4, 1)]
    rngs = jax.random.split(rng, len(widths))
    return {
        f"linear{i}": init_linear(r, *w) for i, (r, w) in enumerate(zip(rngs, widths, strict=True))
    }


def _apply_map(
    params: Params, features: Float[Array, "inputs weights"]
) -> Float[Array, " weights"]:
    for i in range(4):
        features = linear(**params[f"linear{i}"], x=features)
    return features[0]
