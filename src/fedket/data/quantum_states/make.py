"""Two classes of quantum states: the same random inputs' law, two generators, two resources.

Class 0 is the generator with the first target, class 1 that with the second. A state is stored as
real and imaginary parts on the last axis, shape (2**num_qubits, 2), for the encoding `state`.
"""

from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float32

from fedket.data.quantum_states.generators import (
    Generator,
    Measure,
    generate,
    hardware_efficient,
    train_generator,
)
from fedket.data.quantum_states.inputs import INPUTS, Inputs
from fedket.data.quantum_states.public import public_generator
from fedket.errors import DataError
from fedket.quantum import concentratable_entanglement, stabilizer_entropy
from fedket.types import Dataset

RESOURCES: dict[str, tuple[str, Measure]] = {
    "ntangled": ("concentratable entanglement", concentratable_entanglement),
    "magic": ("stabilizer entropy M2 [bits]", stabilizer_entropy),
}
"""Data set -> the resource that its classes differ in."""

MEASURED = 64
"""States of each class that the resource is measured on (256 Paulis of 4 qubits, 65,536 of 8)."""


class StateRequest(NamedTuple):
    """What is made: the fields of `StatesConfig`, and `sample_seed`, which inputs depend on too."""

    num_qubits: int = 6
    targets: tuple[float, float] = (0.15, 0.45)
    generator: str = "trained"
    generator_layers: int = 4
    inputs: str = "hemisphere"
    train_samples: int = 100
    test_samples: int = 400
    seed: int = 0
    sample_seed: int = 0


DEFAULT_STATES = StateRequest()
"""Six qubits, entanglement .15 against .45."""


def make_states(name: str, request: StateRequest, directory: Path) -> Dataset:
    """Make a data set of quantum states; everything is a function of the request.

    Args:
        name: `ntangled` or `magic`.
        request: Size, targets, generators.
        directory: Data directory, for public weights.

    Returns:
        As many samples of either class, alternating; `measured` has both classes' mean resource.
        More training samples leave the test set as it is.

    Raises:
        DataError: No generator reaches a target, or there are not so many inputs.
    """
    resource, measure = RESOURCES[name]
    num_test, num_train = (
        _half(request.test_samples, "test"),
        _half(request.train_samples, "train"),
    )
    parts: list[list[np.ndarray]] = [[], []]
    measured: dict[str, float] = {}
    for label, target in enumerate(request.targets):
        generator = _generator(name, measure, request, directory, label)
        rng = np.random.default_rng([request.seed, label, 1, request.sample_seed])
        inputs = INPUTS[request.inputs](rng, num_test + num_train, request.num_qubits)
        psi = generate(generator, inputs)
        values = jax.jit(measure)(psi[:, :MEASURED])
        measured[f"{resource}, class {label}, target"] = target
        measured[f"{resource}, class {label}, mean"] = round(float(values.mean()), 3)
        for part, states in zip(parts, np.split(_as_samples(psi), [num_test]), strict=True):
            part.append(states)
    (x_test, y_test), (x_train, y_train) = (_alternate(*part) for part in parts)
    return Dataset(name, x_train, y_train, x_test, y_test, 2, measured=measured)


def _generator(
    name: str, measure: Measure, request: StateRequest, directory: Path, label: int
) -> Generator:
    num_qubits, layers, target = (
        request.num_qubits,
        request.generator_layers,
        request.targets[label],
    )
    if request.generator == "public":
        if name != "ntangled":
            raise DataError(
                f'data set `{name}` has no public generators; use generator = "trained"'
            )
        return public_generator(directory, num_qubits, target, layers)
    rng = np.random.default_rng([request.seed, label, 0])

    def draw(count: int) -> Inputs:
        return INPUTS[request.inputs](rng, count, num_qubits)

    circuit = hardware_efficient(num_qubits, layers)
    return train_generator(measure, target, circuit, draw, request.seed)


def _half(samples: int, part: str) -> int:
    if samples % 2 or samples < 2:
        raise DataError(f"data.{part}_samples must be even (two equal classes), got {samples}")
    return samples // 2


def _as_samples(psi: Complex[Array, "dim batch"]) -> Float32[np.ndarray, "batch dim 2"]:
    return np.asarray(jnp.stack([psi.T.real, psi.T.imag], axis=-1))


def _alternate(zero: np.ndarray, one: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Samples 0, 1, 0, 1, … of the two classes, and their labels."""
    x = np.stack([zero, one], axis=1).reshape(-1, *zero.shape[1:])
    return x, np.tile(np.array([0, 1], np.int32), len(zero))
