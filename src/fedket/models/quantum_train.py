"""Quantum-Train (QFed, arXiv:2601.09809): a circuit and a small map generate a network's weights.

Only the circuit's angles and the map are trained and sent; what is deployed is the plain network.
Constants are those of the authors' public code, listed in the docstrings.
"""

from functools import partial
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from fedket.errors import ConfigError
from fedket.models.network import (
    LayerWords,
    Network,
    NetworkKeys,
    Tensors,
    cut_weights,
    init_weights,
    plan_dense,
    plan_network,
    run_layers,
    run_network,
)
from fedket.models.per_client import per_client
from fedket.quantum.ansatz import quantum_train as quantum_train_circuit
from fedket.quantum.circuit import Circuit
from fedket.quantum.encoding import zero_state
from fedket.quantum.engine import run_circuit
from fedket.quantum.measurement import Measurement, check_measurement, expected_values
from fedket.quantum.memory import check_memory
from fedket.quantum.noise import NoiseModel, check_exact_memory
from fedket.quantum.readout import probabilities
from fedket.quantum.shots import Shots, draw_values, plan_shots, sampled_values
from fedket.quantum.shots.memory import check_shots_memory
from fedket.schema import PositiveInt
from fedket.section import Context
from fedket.types import Model, Params

MapKind = Literal["mlp", "linear"]

HIDDEN: dict[MapKind, tuple[int, ...]] = {"mlp": (4, 20, 4), "linear": ()}
"""Widths between the map's layers. There are no activations, so both are affine functions."""

MAX_QUBITS = 20
"""Of a generator; larger targets are generated in more blocks."""

_EPSILON = 1e-6
"""Added before the power 0.3, whose slope at 0 is infinite."""


class GeneratorPlan(NamedTuple):
    """What generates a network's weights.

    Attributes:
        target: The network.
        circuit: The circuit whose probabilities become weights.
        map: From a basis state's bits and its probability to weights.
        blocks: Weights that share a basis state.
    """

    target: Network
    circuit: Circuit
    map: Network
    blocks: int

    @property
    def num_weights(self) -> int:
        """Generated numbers."""
        return self.target.num_weights

    @property
    def num_states(self) -> int:
        """Basis states whose probabilities become weights."""
        return -(-self.num_weights // self.blocks)

    @property
    def num_trained(self) -> int:
        """Trained numbers: angles and map."""
        return self.circuit.num_params + self.map.num_weights


def plan_generator(
    target: Network, num_layers: int = 16, map_kind: MapKind = "mlp", blocks: int = 1
) -> GeneratorPlan:
    """Work out circuit and map for a network.

    With B blocks the map puts out B weights for each basis state, so that ⌈log2⌈weights / B⌉⌉
    qubits are enough (batched generation, arXiv:2409.02763).

    Args:
        target: The network.
        num_layers: Blocks of U3 and CU3 ring.
        map_kind: `mlp` is QFed's map, `linear` a single affine layer (the ablation).
        blocks: Weights per basis state.

    Raises:
        ConfigError: The circuit would be too large, or there are more blocks than weights.
    """
    states = -(-target.num_weights // blocks)
    num_qubits = max(1, (states - 1).bit_length())
    if blocks > target.num_weights or num_qubits > MAX_QUBITS:
        raise ConfigError(
            f"a target of {target.num_weights:,} weights in {blocks} blocks needs {num_qubits} "
            f"qubits; choose blocks so that 1 to {MAX_QUBITS} qubits are enough, "
            f"{-(-target.num_weights >> MAX_QUBITS)} or more"
        )
    weight_map = plan_dense((num_qubits + 1, *HIDDEN[map_kind], blocks))
    return GeneratorPlan(target, quantum_train_circuit(num_qubits, num_layers), weight_map, blocks)


def quantum_train(
    plan: GeneratorPlan | None = None,
    *,
    noise: NoiseModel | None = None,
    shots: Shots | None = None,
) -> Model:
    """A model whose parameters are a generator's; it classifies with the generated network.

    Args:
        plan: Network and generator; QFed's by default: 13 qubits, 1,248 angles and 249 map
            parameters generate 6,690 weights.
        noise: What the generating circuit runs under, see `vqc`.
        shots: How often it is measured, see `vqc`; all samples of a step share one measurement.

    Raises:
        CircuitError: The circuit's noise is not served.
    """
    plan = plan or plan_generator(plan_network())
    measured = Measurement(plan.circuit, noise, None, plan.num_states)
    check_measurement(measured)
    start = partial(zero_state, plan.circuit.num_qubits)

    def init(rng: PRNGKeyArray) -> Params:
        angle_rng, map_rng = jax.random.split(rng)
        shape = plan.circuit.params_shape
        angles = jax.random.uniform(angle_rng, shape, minval=-jnp.pi, maxval=jnp.pi)
        return {"angles": angles, "map": init_weights(plan.map, map_rng)}

    def network(params: Params, values: Float[Array, "one states"]) -> tuple[Network, Tensors]:
        weights = generate_weights(plan, params, values[0])
        return plan.target, cut_weights(plan.target, weights)

    def plain_network(params: Params) -> tuple[Network, Tensors]:
        return network(params, expected_values(measured, params["angles"], start()))

    def apply(
        params: Params, x: Float[Array, "batch *shape"], rng: PRNGKeyArray | None = None
    ) -> Float[Array, "batch classes"]:
        if rng is None or (noise is None and shots is None):
            return run_network(*plain_network(params), x, rng)
        drawn = jax.random.fold_in(rng, 1)
        if shots is None:
            values = expected_values(measured, params["angles"], start(), drawn)
        else:
            values = sampled_values(measured, shots, params["angles"], start(), drawn)
        return run_network(*network(params, values), x, rng)

    def evaluate(
        params: Params, x: Float[Array, "batch *shape"], rng: PRNGKeyArray
    ) -> Float[Array, "batch classes"]:
        count = 0 if shots is None else shots.evaluation
        values = draw_values(measured, count, params["angles"], start(), rng)
        return run_network(*network(params, values), x)

    return Model(
        init,
        apply,
        layered={"angles": True, "map": False},
        circuit=plan.circuit,
        noise=noise,
        shots=None if shots is None else plan_shots(measured, shots)._replace(shared=True),
        evaluate=evaluate if shots is not None and shots.evaluation else None,
        plain_network=plain_network,
    )


def generate_weights(
    plan: GeneratorPlan, params: Params, p: Float[Array, " states"] | None = None
) -> Float[Array, " weights"]:
    """Weights from measurement probabilities, mean 0.

    p: the first ⌈weights / blocks⌉ probabilities of the circuit on |0…0>, not renormalised; None
    takes Born's, without noise.
    x = (0.8 tanh(0.1 · 2**(n−1) · p) + ε)**0.3, minus its mean; the map takes the basis state's
    bits as ±1 (most significant first) and x; its outputs, one basis state after the other, minus
    their mean are the weight vector.
    """
    if p is None:
        psi = run_circuit(plan.circuit, params["angles"], zero_state(plan.circuit.num_qubits))
        p = probabilities(psi)[: plan.num_states, 0]
    num_qubits = plan.circuit.num_qubits
    x = (0.8 * jnp.tanh(0.1 * 2 ** (num_qubits - 1) * p) + _EPSILON) ** 0.3
    bits = _basis_bits(num_qubits, plan.num_states)
    features = jnp.concatenate([jnp.asarray(bits, x.dtype), (x - x.mean())[None]])
    weights = run_layers(plan.map, params["map"], features).T.reshape(-1)[: plan.num_weights]
    return weights - weights.mean()


def _basis_bits(num_qubits: int, count: int) -> np.ndarray:
    """Bits of 0 … count − 1 as ±1, most significant first, shape (num_qubits, count)."""
    shifts = np.arange(num_qubits - 1, -1, -1)
    return 2 * ((np.arange(count) >> shifts[:, None]) & 1) - 1


class QuantumTrainConfig(NetworkKeys):
    """QFed's model: a circuit and a small map generate the weights of a plain network."""

    kind: Literal["quantum_train"] = "quantum_train"
    num_layers: PositiveInt = 16
    map: MapKind = "mlp"
    """From basis state and probability to weight: QFed's four layers, or a single one."""
    blocks: PositiveInt = 1
    """Weights generated per basis state: more blocks need fewer qubits."""
    client_layers: tuple[LayerWords, ...] | None = None
    """Further networks, in the words of `layers`, for clients that train another one: client i has
    number i modulo how many there are, `layers` being number 0, which is the server's. One circuit
    and one map, as the largest needs them, generate all; a smaller one takes the first weights."""

    def plan(self) -> GeneratorPlan:
        """What generates the weights of the server's network."""
        return self.plans()[0]

    def plans(self) -> list[GeneratorPlan]:
        """What generates the weights of each network: one circuit and one map.

        Raises:
            ConfigError: The networks tell different numbers of classes apart.
        """
        shape = (self.image_channels, self.image_side, self.image_side)
        others = [plan_network(words, shape) for words in self.client_layers or ()]
        targets = [self.network(), *others]
        classes = [target.layers[-1].numbers[0] for target in targets]
        if len(set(classes)) > 1:
            raise ConfigError(
                f"model.client_layers: networks with {', '.join(map(str, classes))} outputs cannot "
                "be trained together: clients share the generator, and the classes; let each end "
                f"with `linear {classes[0]}`"
            )
        largest = max(targets, key=lambda target: target.num_weights)
        plan = plan_generator(largest, self.num_layers, self.map, self.blocks)
        return [plan._replace(target=target) for target in targets]

    def check(self, context: Context) -> None:
        """Raise `CircuitError` if the circuit would not fit into memory."""
        circuit, noise = self.plan().circuit, context.noise
        itemsize, shots = (8 if context.dtype == "float64" else 4), context.shots
        if (noise or NoiseModel()).is_exact(circuit):
            if noise is not None:
                check_exact_memory(circuit, noise, 1, itemsize)
            if shots is not None:
                states = self.plan().num_states
                check_shots_memory(circuit, noise, shots, states, 1, itemsize)
        columns = 1 if noise is None else noise.trajectories
        check_memory(circuit.num_qubits, columns, 2 * itemsize)

    def build(self, context: Context) -> Model:
        """The model."""
        made = partial(quantum_train, noise=context.noise, shots=context.shots)
        models = [made(plan) for plan in self.plans()]
        if len(models) == 1:
            return models[0]
        chosen = tuple(i % len(models) for i in range(context.num_clients))
        return per_client(models[0], models, chosen)._replace(own_network=True)
