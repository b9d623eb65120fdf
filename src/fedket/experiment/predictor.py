"""After a run: its model as a function of new samples.

Samples go the way those of the run went: integers are scaled as the data set's were, then the
run's transforms follow. What those were fitted to is the run's training part, so they are fitted
to it again, which gives the same numbers.
"""

from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Num, Shaped

from fedket.data.scale import scale_features
from fedket.errors import CheckpointError, ConfigError, DataError
from fedket.experiment import run_directory as disk
from fedket.experiment.aggregation import first_context
from fedket.experiment.build import (
    build_learning,
    precision,
    raw_samples,
    transformed,
    transforms_of,
)
from fedket.experiment.check import check_whole, parameter_shapes
from fedket.experiment.config import ExperimentConfig
from fedket.federated.checkpoint import load_params
from fedket.federated.evaluate import evaluation_batch, make_scorer, scoring_rng
from fedket.types import Dataset, Model, Params

Which = Literal["last", "best", "averaged"]

Samples = Shaped[np.ndarray, "samples ..."]


class Predictor(NamedTuple):
    """A trained model on samples as they were before the run's transforms.

    Attributes:
        config: The run's experiment.
        model: What was trained.
        params: Its parameters, as of the last round or of the best one.
        classes: What the numbers that `predict` returns stand for, one word each.
        units: Of a regression, slope and offset from an output to a number of the data set; None
            for classes.
        transform: Samples -> what the model takes of them.
        logits: Samples -> the model's logits, shape (samples, classes).
    """

    config: ExperimentConfig
    model: Model
    params: Params
    classes: tuple[str, ...]
    units: tuple[float, float] | None
    transform: Callable[[Samples], Float[np.ndarray, "samples ..."]]
    logits: Callable[[Samples], Float[np.ndarray, "samples classes"]]

    def predict(self, x: Samples) -> Num[np.ndarray, " samples"]:
        """Number of the class of each sample; of a regression, its value in the data set's units.

        Args:
            x: Samples of the shape of the run's, or with as many features: unsigned integers, which
                are scaled as those of the run were, or floats in the range that
                `fk.load_dataset` gives.

        Raises:
            DataError: They are not like the run's samples.
        """
        logits = self.logits(x)
        if self.units is None:
            return np.asarray(logits.argmax(axis=-1))
        slope, offset = self.units
        return np.asarray(slope * logits[:, 0] + offset)

    def predict_proba(self, x: Samples) -> Float[np.ndarray, "samples classes"]:
        """Softmax of the logits, rows that sum to 1; arguments and errors as of `predict`.

        Raises:
            ConfigError: It is a regression.
        """
        if self.units is not None:
            raise ConfigError("a regression has no classes and no probabilities; use `predict`")
        logits = self.logits(x).astype(np.float64)
        powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=-1, keepdims=True))


def load(directory: Path | str, which: Which = "last") -> Predictor:
    """Load what a run has trained.

    Args:
        directory: The run.
        which: The model of the last round, the `best` one on the validation split, or the one
            `averaged` along the server's path.

    Raises:
        CheckpointError: The directory is no run, or has no such model.
        ConfigError: Its model is not whole (`federation.personal`).
        DataError: The run's data is not where it was, and the transforms or the model need it.
    """
    directory = Path(directory)
    config = disk.read_config(directory)
    check_whole(config, directory)
    context = first_context(config)
    raw = cache(partial(raw_samples, config, context))
    transforms = transforms_of(config)
    with precision(config):
        dataset = transformed(raw(), transforms)
        model = build_learning(config, context._replace(dataset=dataset), 1).model
        params = load_params(model_file(directory, which), parameter_shapes(model))
    batch = evaluation_batch(model, jnp.asarray(dataset.x_test), config.engine.memory_limit_mb)
    scorer, rng = make_scorer(model, batch), scoring_rng(model, config.seed, 0)

    def transform(x: Samples) -> Float[np.ndarray, "samples ..."]:
        samples = _like(raw(), np.asarray(x))
        if not transforms:
            return samples
        fitted = any(each.fitted for each in transforms)
        few = raw() if fitted else raw()._replace(x_train=samples[:1])
        return transformed(few._replace(x_test=samples, x_val=None), transforms).x_test

    def logits(x: Samples) -> Float[np.ndarray, "samples classes"]:
        with precision(config):
            samples = transform(x).astype(config.engine.dtype)
            score = scorer(params, samples, np.zeros(len(samples), np.int32), rng)
            return np.asarray(score.logits)

    names, units = _names(config, dataset), _units(raw(), dataset)
    return Predictor(config, model, params, names, units, transform, logits)


def model_file(directory: Path, which: Which) -> Path:
    """The file that holds a run's model.

    Raises:
        CheckpointError: There is none, and why.
    """
    names = {"last": disk.MODEL, "best": disk.BEST, "averaged": disk.AVERAGED}
    path = directory / names[which]
    if path.is_file():
        return path
    if which == "best" and disk.read_config(directory).data.model_dump().get("validation_fraction"):
        raise CheckpointError(f"{directory} has no best model yet: no round was evaluated")
    if which == "best":
        raise CheckpointError(
            f"{directory} has no best model: it had no validation split (data.validation_fraction),"
            ' and the test set chooses nothing; take the last one (which = "last")'
        )
    if which == "averaged" and disk.read_config(directory).federation.averaging is None:
        raise CheckpointError(f"{directory} kept no average of models (federation.averaging)")
    raise CheckpointError(
        f"{directory} has no model yet; finish the run: fedket run --resume {directory}"
    )


def _like(dataset: Dataset, x: Samples) -> Float[np.ndarray, "samples ..."]:
    """Samples as float32, scaled and shaped like those of a data set."""
    shape = dataset.x_train.shape[1:]
    if len(shape) == 3 and x.shape[1:] == shape[:2]:  # grey images counted for all channels
        x = np.repeat(x[..., None], shape[2], axis=-1)
    if x.ndim < 2 or not len(x) or (x.shape[1:] != shape and x[0].size != np.prod(shape)):
        raise DataError(
            f"samples of data set `{dataset.name}` have shape {shape}, got an array of shape "
            f"{x.shape}; give (samples, {', '.join(map(str, shape))})"
        )
    return scale_features(x, dataset.max_value, "x").reshape(-1, *shape)


def _units(raw: Dataset, dataset: Dataset) -> tuple[float, float] | None:
    """Slope and offset from labels as trained on to labels as they were; None for classes."""
    if not dataset.regression:
        return None
    low, high = dataset.y_train.argmin(), dataset.y_train.argmax()
    given, made = (y[[low, high]].astype(np.float64) for y in (raw.y_train, dataset.y_train))
    slope = 1.0 if made[0] == made[1] else (given[1] - given[0]) / (made[1] - made[0])
    return float(slope), float(given[0] - slope * made[0])


def _names(config: ExperimentConfig, dataset: Dataset) -> tuple[str, ...]:
    kept = getattr(config.data, "classes", ()) or range(dataset.num_classes)
    return dataset.class_names or tuple(map(str, kept))
