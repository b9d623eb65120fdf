"""Two classes of quantum states: the same random inputs' law, two generators, two resources.

Class 0 is the generator with the first target, class 1 that with the second. A state is stored as
real and imaginary parts on the last axis, shape (2**num_qubits, 2), for the encoding `state`.
"""

from functools import lru_cache
from pathlib import Path
from typing import Annotated, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float32
from pydantic import Field

from fedket.data.held_out import DataConfig
from fedket.data.quantum_states.generators import (
    Generator,
    Measure,
    generate,
    hardware_efficient,
    train_generator,
)
from fedket.data.quantum_states.inputs import INPUTS, Inputs
from fedket.data.quantum_states.public import public_generator
from fedket.data.sources import data_directory
from fedket.errors import DataError
from fedket.quantum.resources import concentratable_entanglement, stabilizer_entropy
from fedket.schema import FREE, PositiveFloat, Seed
from fedket.section import Context
from fedket.types import Dataset

RESOURCES: dict[str, tuple[str, Measure]] = {
    "ntangled": ("concentratable entanglement", concentratable_entanglement),
    "magic": ("stabilizer entropy M2 [bits]", stabilizer_entropy),
}
"""Kind -> the resource that its classes differ in."""

MEASURED = 64
"""States of each class that the resource is measured on (256 Paulis of 4 qubits, 65,536 of 8)."""


class StatesConfig(DataConfig):
    """Keys of data sets of quantum states, made on the spot: two classes of a resource."""

    num_qubits: Annotated[int, Field(ge=2, le=8)] = 6
    targets: tuple[PositiveFloat, PositiveFloat] = (0.15, 0.45)
    """Of class 0 and class 1: concentratable entanglement of `ntangled`, M2 in bits of `magic`."""
    generator: Literal["trained", "public"] = "trained"
    """`trained` to the targets on the spot; `public`: NTangled's, from the data directory."""
    generator_layers: Annotated[int, Field(ge=1, le=20)] = 4
    """Depth of the generators."""
    inputs: Literal["haar", "hemisphere", "stabilizer", "basis"] = "hemisphere"
    """Qubits of the product inputs: uniform on the Bloch sphere, on its half around |0>, one of
    |0>, |+>, |+i>, or one of |0>, |1>. `haar` gives both classes the same mean state."""
    train_samples: Annotated[int, Field(ge=2, le=100_000, multiple_of=2)] = 100
    """Even: half of each class."""
    test_samples: Annotated[int, Field(ge=2, le=100_000, multiple_of=2)] = 400
    """Even: half of each class."""
    seed: Seed = 0
    """Of generators; inputs depend on it and on the experiment's seed."""
    directory: Annotated[str, FREE] = ""
    """Data directory, for public generators; as for stored data sets."""

    def build(self, context: Context) -> Dataset:
        """The data set; inputs depend on the experiment's seed too."""
        return make_states(self, context.seed, data_directory(self.directory))


class NtangledConfig(StatesConfig):
    """States of two degrees of entanglement (arXiv:2109.03400)."""

    kind: Literal["ntangled"] = "ntangled"


class MagicConfig(StatesConfig):
    """States of two degrees of magic: stabilizer entropy (arXiv:2106.12587)."""

    kind: Literal["magic"] = "magic"


def make_states(request: StatesConfig, sample_seed: int, directory: Path) -> Dataset:
    """Make a data set of quantum states; everything is a function of the arguments.

    Args:
        request: Resource, size, targets, generators.
        sample_seed: What inputs depend on beside the request's own seed.
        directory: Data directory, for public weights.

    Returns:
        As many samples of either class, alternating; `measured` has both classes' mean resource.
        More training samples leave the test set as it is.

    Raises:
        DataError: No generator reaches a target, or there are not so many inputs.
    """
    resource, measure = RESOURCES[request.kind]
    num_test, num_train = request.test_samples // 2, request.train_samples // 2
    parts: list[list[np.ndarray]] = [[], []]
    measured: dict[str, float] = {}
    for label, target in enumerate(request.targets):
        generator = _generator(request, directory, label)
        rng = np.random.default_rng([request.seed, label, 1, sample_seed])
        inputs = INPUTS[request.inputs](rng, num_test + num_train, request.num_qubits)
        psi = generate(generator, inputs)
        values = jax.jit(measure)(psi[:, :MEASURED])
        measured[f"{resource}, class {label}, target"] = target
        measured[f"{resource}, class {label}, mean"] = round(float(values.mean()), 3)
        for part, states in zip(parts, np.split(_as_samples(psi), [num_test]), strict=True):
            part.append(states)
    (x_test, y_test), (x_train, y_train) = (_alternate(*part) for part in parts)
    return Dataset(request.kind, x_train, y_train, x_test, y_test, 2, measured=measured)


def _generator(request: StatesConfig, directory: Path, label: int) -> Generator:
    num_qubits, layers = request.num_qubits, request.generator_layers
    target = request.targets[label]
    if request.generator == "public":
        if request.kind != "ntangled":
            raise DataError(
                f'data set `{request.kind}` has no public generators; use generator = "trained"'
            )
        return public_generator(directory, num_qubits, target, layers)
    wide = jax.dtypes.canonicalize_dtype(np.float64).name
    return _trained(
        request.kind, num_qubits, layers, target, request.inputs, request.seed, label, wide
    )


@lru_cache(maxsize=8)
def _trained(
    kind: str,
    num_qubits: int,
    layers: int,
    target: float,
    inputs: str,
    seed: int,
    label: int,
    _precision: str,
) -> Generator:
    """A generator, trained once for all runs of a process that differ in something else."""
    rng = np.random.default_rng([seed, label, 0])

    def draw(count: int) -> Inputs:
        return INPUTS[inputs](rng, count, num_qubits)

    circuit = hardware_efficient(num_qubits, layers)
    return train_generator(RESOURCES[kind][1], target, circuit, draw, seed)


def _as_samples(psi: Complex[Array, "dim batch"]) -> Float32[np.ndarray, "batch dim 2"]:
    return np.asarray(jnp.stack([psi.T.real, psi.T.imag], axis=-1))


def _alternate(zero: np.ndarray, one: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Samples 0, 1, 0, 1, … of the two classes, and their labels."""
    x = np.stack([zero, one], axis=1).reshape(-1, *zero.shape[1:])
    return x, np.tile(np.array([0, 1], np.int32), len(zero))
