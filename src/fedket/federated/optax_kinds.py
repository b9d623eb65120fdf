"""Optax's optimisers and losses by name: `optax:NAME` wherever an experiment names one of ours.

An optimiser's keys are the arguments of the function that makes it, with its defaults: those that
are numbers, switches or words. Types of accumulators and masks of parameters are not among them.
"""

import inspect
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import jax
import optax
from pydantic import create_model

from fedket.errors import ConfigError, meant
from fedket.federated.losses import Labels, Logits, Loss, Losses, as_targets
from fedket.federated.optimizers import OptimizerConfig, Rule, compose
from fedket.federated.program import Number, tunable
from fedket.section import Context, Section

NEEDS_MORE = {"lbfgs", "noisy_sgd", "optimistic_adam"}
"""Takes the loss itself, a key, or is deprecated."""

INTEGER = (
    "softmax_cross_entropy_with_integer_labels",
    "multiclass_hinge_loss",
    "multiclass_perceptron_loss",
    "multiclass_sparsemax_loss",
)
"""Losses of logits and labels 0, 1, …."""

ONE_HOT = ("softmax_cross_entropy", "safe_softmax_cross_entropy", "poly_loss_cross_entropy")
"""Of logits and one-hot labels."""

BINARY = ("sigmoid_binary_cross_entropy", "sigmoid_focal_loss")
"""Of a logit and 0 or 1, for each class by itself."""

DISTANCES = ("squared_error", "l2_loss", "huber_loss", "log_cosh")
"""Of an output and its target; for classes see `losses.as_targets`."""


class OptaxConfig(OptimizerConfig):
    """Base of the sections of optax's optimisers."""

    def build(self, context: Context) -> optax.GradientTransformation:
        """The optimiser; `weight_decay` is L2 unless it has a weight decay of its own."""
        rule, numbers = self.rule()
        decay = None if "weight_decay" in rule_arguments(rule) else self.weight_decay or None
        rates = self.learning_rate, self.head_learning_rate or None
        return tunable(compose, rule, numbers, *rates, decay)

    def rule(self) -> tuple[Rule, dict[str, Number]]:
        """Optax's function with its arguments, which are constants of compiled programs."""
        function = getattr(optax, self.kind.partition(":")[2])
        names = rule_arguments(function)
        return partial(function, **{name: getattr(self, name) for name in names}), {}


def rule_arguments(rule: Rule) -> dict[str, Any]:
    """Arguments of an optimiser that a configuration can hold -> their defaults."""
    return {
        name: parameter.default
        for name, parameter in inspect.signature(rule).parameters.items()
        if parameter.default is None or isinstance(parameter.default, bool | int | float | str)
        if name != "learning_rate" and "mask" not in name and "dtype" not in name
    }


@cache
def optimizer_section(name: str) -> type[Section]:
    """The section of an optimiser.

    Raises:
        ConfigError: Optax has none of that name that needs no more than gradients.
    """
    known = [known for known in dir(optax) if _makes_optimizer(known)]
    if name not in known:
        raise ConfigError(
            f"optax has no optimiser `{name}`{meant(name, known)} (known: {', '.join(known)})"
        )
    arguments = rule_arguments(getattr(optax, name))
    fields: dict[str, Any] = {
        argument: (float | None if default is None else type(default), default)
        for argument, default in arguments.items()
    }
    made: type[Section] = create_model(
        f"Optax{name.title().replace('_', '')}Config",
        __base__=OptaxConfig,
        __doc__=f"`optax.{name}`; see optax's documentation for its arguments.",
        kind=(str, f"optax:{name}"),
        **fields,
    )
    return made


def _makes_optimizer(name: str) -> bool:
    function = getattr(optax, name)
    made = inspect.isfunction(function) or isinstance(function, partial)
    if name.startswith(("_", "scale_by")) or name in NEEDS_MORE or not made:
        return False
    return next(iter(inspect.signature(function).parameters), "") == "learning_rate"


@cache
def loss_function(name: str) -> Loss:
    """One of optax's losses as a loss of ours.

    Raises:
        ConfigError: There is none of that name that a label and logits are enough for.
    """
    known = (*INTEGER, *ONE_HOT, *BINARY, *DISTANCES)
    if name not in known:
        raise ConfigError(
            f"optax has no loss `{name}` of labels and logits{meant(name, known)} "
            f"(known: {', '.join(known)})"
        )
    function: Callable[..., Any] = getattr(optax.losses, name)
    if name in INTEGER:
        return partial(_of_labels, function)
    if name in ONE_HOT:
        return partial(_of_one_hot, function)
    return partial(_of_outputs, function, name in BINARY)


def _of_labels(function: Callable[..., Any], logits: Logits, y: Labels) -> Losses:
    return jax.vmap(function)(logits, y)  # type: ignore[no-any-return]


def _of_one_hot(function: Callable[..., Any], logits: Logits, y: Labels) -> Losses:
    found: Losses = function(logits, jax.nn.one_hot(y, logits.shape[1], dtype=logits.dtype))
    return found


def _of_outputs(function: Callable[..., Any], binary: bool, logits: Logits, y: Labels) -> Losses:
    """Mean over outputs."""
    if binary:
        targets = jax.nn.one_hot(y, logits.shape[1], dtype=logits.dtype)
    else:
        targets = as_targets(logits, y)
    losses: Losses = function(logits, targets).mean(axis=1)
    return losses
