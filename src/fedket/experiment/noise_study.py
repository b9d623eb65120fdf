"""A trained model under noise of many strengths: how it classifies, and what gradients are left."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fedket.errors import ConfigError
from fedket.experiment import run_directory as disk
from fedket.experiment.aggregation import first_context
from fedket.experiment.build import load_samples, noise_of, precision
from fedket.experiment.check import check_noise, check_whole, parameter_shapes
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.section import build
from fedket.federated.checkpoint import load_params
from fedket.federated.evaluate import EVAL_BATCH, make_scorer
from fedket.quantum.noise import NoiseModel
from fedket.section import Context
from fedket.types import Model, Params

GRADIENT_SAMPLES = 64
"""Training samples whose mean loss is differentiated."""


class NoisePoint(NamedTuple):
    """One strength of noise, worked out in one way.

    Attributes:
        method: `exact` or `trajectories`.
        strength: How many times as long gates take; 0 for no noise.
        test_accuracy: Of the model, a fraction.
        test_loss: Mean loss on the test set.
        gradient_norm: Of the mean loss of some training samples.
        cosine: Of that gradient with the exact one of the same strength, 1 for the same direction;
            with itself where there is no exact one.
    """

    method: str
    strength: float
    test_accuracy: float
    test_loss: float
    gradient_norm: float
    cosine: float


def compare_noise(
    directory: Path, strengths: Sequence[float], overrides: Sequence[str] = ()
) -> list[NoisePoint]:
    """Evaluate and differentiate a run's model under its noise, weaker and stronger.

    Args:
        directory: A run.
        strengths: Multiples of the noise, see `NoiseModel.times`; 0 for none.
        overrides: Changes of its configuration, such as `noise={two_qubit=0.01}` for a run that
            had no noise.

    Raises:
        CheckpointError: The directory is no run, or has no model yet.
        ConfigError: There is no noise, or the model does not take it.
        CircuitError: The noise has no powers, or the circuit is not served.
    """
    config = disk.read_config(directory, overrides)
    check_whole(config, directory)
    with precision(config):
        context = first_context(config)
        dataset = load_samples(config, context)
        context = context._replace(dataset=dataset, loss=config.training.loss.function)
        noise = noise_of(config, context)
        if noise is None:
            raise ConfigError(
                f"{directory} ran without noise; name some, for example --set "
                "'noise={one_qubit=0.001, two_qubit=0.01}'"
            )
        whole = _model(config, context, noise)
        params = load_params(directory / disk.MODEL, parameter_shapes(whole))
        points: list[NoisePoint] = []
        for strength in strengths:
            points += _at(config, context, params, noise.times(strength), strength)
    return points


def _at(
    config: ExperimentConfig, context: Context, params: Params, noise: NoiseModel, strength: float
) -> list[NoisePoint]:
    """Exactly if the circuit is small enough, and by trajectories if random Paulis are all."""
    pauli = all(rule.channel.is_pauli for rule in noise.rules)
    points, first = [], None
    for method, scaled in ("exact", noise), ("trajectories", replace(noise, exact_qubits=0)):
        model = _model(config, context, scaled if method == "exact" or pauli else noise)
        exact = noise.is_exact(model.circuit)
        if (method == "exact" and not exact) or (method == "trajectories" and exact and not pauli):
            continue
        score = make_scorer(model, EVAL_BATCH, config.training.loss.function)(
            params, *_arrays(config, context.samples.x_test, context.samples.y_test), None
        )
        gradient = _gradient(config, model, params, context)
        first = gradient if first is None else first
        norms = np.linalg.norm(gradient), np.linalg.norm(first)
        points.append(
            NoisePoint(
                method,
                strength,
                float(np.asarray(score.correct).mean()),
                float(np.asarray(score.loss).mean()),
                float(norms[0]),
                float(gradient @ first / max(norms[0] * norms[1], np.finfo(float).tiny)),
            )
        )
    return points


def _arrays(config: ExperimentConfig, x: np.ndarray, y: np.ndarray) -> tuple[Array, Array]:
    return jnp.asarray(x, config.engine.dtype), jnp.asarray(y)


def _gradient(
    config: ExperimentConfig, model: Model, params: Params, context: Context
) -> Float[np.ndarray, " parameters"]:
    samples, loss = context.samples, config.training.loss.function
    first = slice(GRADIENT_SAMPLES)
    x, y = _arrays(config, samples.x_train[first], samples.y_train[first])

    def mean_loss(params: Params) -> Float[Array, ""]:
        mean: Array = loss(model.apply(params, x), y).mean()
        return mean

    found = jax.jit(jax.grad(mean_loss))(params)
    return np.concatenate([np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(found)])


def _model(config: ExperimentConfig, context: Context, noise: NoiseModel) -> Model:
    context = context._replace(noise=noise)
    model = build(config.model, context, Model)
    check_noise(config, model, context)
    return model
