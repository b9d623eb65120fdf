"""What a federation is made of, checked once: a mistake in Python is one line, as it is in TOML.

Everything is taken as `Any`, since what arrives need not be what it should.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from fedket.data.census import check_shares
from fedket.data.scale import check_finite
from fedket.errors import ConfigError, DataError
from fedket.federated.local import LocalTraining
from fedket.federated.trainer import Engine
from fedket.topology.graph import Topology
from fedket.types import Dataset, Model, Strategy
from fedket.user_code import in_user_code

EXAMPLES: Mapping[str, tuple[Any, str]] = {
    "model": (Model, "fk.vqc(circuit, num_classes)"),
    "dataset": (Dataset, 'fk.load_dataset("digits") or fk.Dataset(name, x_train, y_train, ...)'),
    "strategy": (Strategy, "fk.fed_avg()"),
    "training": (LocalTraining, "fk.LocalTraining(optax.adam(0.01))"),
    "training.optimizer": (optax.GradientTransformation, "optax.adam(0.01)"),
}
"""What arguments must be, and how such a thing is made."""

LEAST = {"clients_per_round": 0, "seed": 0}
"""The least of whole numbers that may be 0."""


def check_given(
    model: Any,
    dataset: Any,
    strategy: Any,
    training: Any,
    graph: Any,
    engine: Any,
    reducer: Any,
    numbers: Mapping[str, Any],
) -> None:
    """Raise `ConfigError` if an argument of `make_federation` is not what it should be.

    `numbers` are its whole numbers: what `LEAST` names is that or more, others are at least 1.
    """
    for name, value in (
        ("model", model),
        ("dataset", dataset),
        ("strategy", strategy),
        ("training", training),
    ):
        _check_kind(name, value)
    _check_kind("training.optimizer", training.optimizer)
    if graph is not None and not isinstance(graph, Topology):
        raise ConfigError(f"`graph` is {_shown(graph)}; make one: fk.make_topology(clients, edges)")
    _check_functions(training, engine, reducer)
    own = {"training.epochs": training.epochs, "training.batch_size": training.batch_size}
    for name, value in (own | dict(numbers)).items():
        least = LEAST.get(name, 1)
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if not whole or not least <= value < 2**31:
            raise ConfigError(f"`{name}` should be a whole number from {least}, got {value!r}")


def _check_kind(name: str, value: Any) -> None:
    kind, example = EXAMPLES[name]
    if isinstance(value, kind):
        return
    if callable(value):
        raise ConfigError(f"`{name}` is {_shown(value)} itself; call it to make one: {example}")
    raise ConfigError(f"`{name}` is {_shown(value)}; it should be a {kind.__name__}: {example}")


def _check_functions(training: Any, engine: Any, reducer: Any) -> None:
    if not callable(training.loss):
        raise ConfigError(
            f"`training.loss` is {_shown(training.loss)}; it should be a function such as "
            "fk.cross_entropy"
        )
    if not callable(engine) and not isinstance(engine, Engine):
        raise ConfigError(
            f"`engine` is {_shown(engine)}; it should be fk.vectorised_engine, "
            "fk.sequential_engine or fk.sharded_engine"
        )
    if reducer is not None and not callable(reducer):
        raise ConfigError(
            f"`reducer` is {_shown(reducer)}; it should be a function such as fk.masked_sum(...)"
        )


def check_samples(dataset: Dataset, partition: Any, dtype: Any) -> None:
    """Raise `DataError` or `PartitionError` if samples are none that a model can learn from.

    Labels lie in 0 to `num_classes` − 1, or are finite numbers of a regression.
    """
    if dtype not in ("float32", "float64"):
        raise ConfigError(f"`dtype` is {dtype!r}; it should be float32 or float64")
    if jax.dtypes.canonicalize_dtype(dtype) != dtype:
        raise ConfigError('`dtype` is float64; first say jax.config.update("jax_enable_x64", True)')
    parts = {"train": (dataset.x_train, dataset.y_train), "test": (dataset.x_test, dataset.y_test)}
    if dataset.x_val is not None and dataset.y_val is not None:
        parts["val"] = dataset.x_val, dataset.y_val
    for part, (x, y) in parts.items():
        _check_part(dataset, part, np.asarray(x), np.asarray(y))
    if isinstance(partition, str | Mapping) or not hasattr(partition, "__len__"):
        raise ConfigError(f"`partition` is {_shown(partition)}; make one: fk.iid(...)")
    check_shares(partition, len(dataset.y_train))


def _check_part(dataset: Dataset, part: str, x: np.ndarray, y: np.ndarray) -> None:
    name = f"data set `{dataset.name}`"
    if x.ndim < 2 or y.shape != x.shape[:1]:
        raise DataError(
            f"{name}: x_{part} has shape {x.shape}, y_{part} {y.shape}; they should be "
            "(samples, features...) and (samples,)"
        )
    if x.shape[1:] != dataset.x_train.shape[1:]:
        raise DataError(
            f"{name}: x_{part} has samples of shape {x.shape[1:]}, x_train of shape "
            f"{dataset.x_train.shape[1:]}; make them equal"
        )
    if x.dtype.kind not in "fuib" or y.dtype.kind not in "fuib":
        raise DataError(
            f"{name}: x_{part} has dtype {x.dtype}, y_{part} {y.dtype}; store float32 features and "
            "int32 labels"
        )
    if x.dtype.kind == "f":
        check_finite(x, f"{name}: x_{part}")
    if dataset.regression:
        check_finite(y.astype(np.float64)[:, None], f"{name}: y_{part}")
    elif y.dtype.kind == "f":
        raise DataError(f"{name}: y_{part} has dtype {y.dtype}, y_train integers; make them alike")
    elif len(y) and not (y.min() >= 0 and y.max() < dataset.num_classes):
        raise DataError(
            f"{name}: y_{part} holds the label {y.min() if y.min() < 0 else y.max()}, num_classes "
            f"is {dataset.num_classes}; labels should be 0 to {dataset.num_classes - 1}"
        )


def check_outputs(model: Model, params: Any, dataset: Dataset, dtype: str) -> None:
    """Raise `ConfigError` unless a model takes these samples and has an output for each class."""
    shape = dataset.x_train.shape[1:]
    sample = jax.ShapeDtypeStruct((2, *shape), jnp.dtype(dtype))
    try:
        logits = jax.eval_shape(model.apply, params, sample)
    except TypeError as error:
        if (known := in_user_code(error)) is not None:
            raise known from error
        said = str(error).partition("\n")[0]
        raise ConfigError(f"the model does not take samples of shape {shape}: {said}") from error
    if dataset.regression and logits.shape[1] != 1:
        raise ConfigError(
            f"the model has {logits.shape[1]} outputs, regression wants one; choose another model"
        )
    if logits.shape[1] != dataset.num_classes:
        raise ConfigError(
            f"the model has {logits.shape[1]} outputs, the data {dataset.num_classes} classes; "
            f"choose {logits.shape[1]} classes with `data.classes`, or another model"
        )


def _shown(value: Any) -> str:
    """A wrong argument in few words."""
    if callable(value) and hasattr(value, "__name__"):
        return f"the function `{value.__name__}`"
    if isinstance(value, str | int | float | None):
        return repr(value)
    return f"a {type(value).__name__}"
