"""Federated optimisers. The server sees clients only through the sum of their contributions.

delta_i = w_i − w_global; the summed contribution is Σ p_i·delta_i with Σ p_i = 1.
"""

from collections.abc import Callable
from typing import Annotated, Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.tree_util import Partial
from jaxtyping import Array
from pydantic import Field

from fedket.federated.program import Number, tunable
from fedket.schema import PositiveFloat
from fedket.section import Context, Section
from fedket.types import ClientResult, Contribution, Params, ServerState, Strategy

Decay = Annotated[float, Field(ge=0, lt=1)]


def fed_opt(optimizer: optax.GradientTransformation, proximal_mu: float | None = None) -> Strategy:
    """Any server optimiser on the pseudo-gradient −Σ p_i·delta_i (Reddi et al., arXiv:2003.00295).

    Args:
        optimizer: optax transformation applied to the pseudo-gradient; see
            `fedket.federated.program.tunable` for one whose numbers a sweep may change without
            compiling anew.
        proximal_mu: Strength of FedProx's pull during local training; None for no pull.
    """
    return Strategy(optimizer.init, weighted_delta, Partial(_apply, optimizer.update), proximal_mu)


def weighted_delta(params: Params, result: ClientResult) -> Contribution:
    """p_i·delta_i."""
    return jax.tree.map(lambda w, g: result.weight * (w - g), result.params, params)


def _apply(
    update: Any, state: ServerState, params: Params, mean_delta: Contribution
) -> tuple[ServerState, Params]:
    pseudo_gradient = jax.tree.map(jnp.negative, mean_delta)
    updates, state = update(pseudo_gradient, state, params)
    return state, optax.apply_updates(params, updates)


def fed_avg() -> Strategy:
    """FedAvg (McMahan et al. 2017, arXiv:1602.05629, Algorithm 1)."""
    return fed_opt(optax.sgd(1.0))._replace(averages=True)


def fed_prox(mu: float) -> Strategy:
    """FedProx (Li et al. 2020, arXiv:1812.06127): FedAvg with a proximal term on the clients."""
    return fed_avg()._replace(proximal_mu=mu or None)


def fed_avg_m(learning_rate: float = 1.0, beta: float = 0.9) -> Strategy:
    """FedAvgM (Hsu et al. 2019, arXiv:1909.06335): v ← βv + Σ p_i·delta_i; w ← w + ηv."""
    return fed_opt(tunable(optax.sgd, learning_rate, beta))


def fed_adagrad(learning_rate: float = 0.01, beta1: float = 0.0, tau: float = 1e-3) -> Strategy:
    """FedAdagrad (arXiv:2003.00295, Algorithm 2): v ← v + Δ²."""
    return _adaptive(learning_rate, beta1, tau, _adagrad_moment)


def fed_adam(
    learning_rate: float = 0.01, beta1: float = 0.9, beta2: float = 0.99, tau: float = 1e-3
) -> Strategy:
    """FedAdam (arXiv:2003.00295, Algorithm 2): v ← β₂v + (1 − β₂)Δ², no bias correction."""
    return _adaptive(learning_rate, beta1, tau, Partial(_adam_moment, beta2, 1 - beta2))


def fed_yogi(
    learning_rate: float = 0.01, beta1: float = 0.9, beta2: float = 0.99, tau: float = 1e-3
) -> Strategy:
    """FedYogi (arXiv:2003.00295, Algorithm 2): v ← v − (1 − β₂)Δ²·sign(v − Δ²)."""
    return _adaptive(learning_rate, beta1, tau, Partial(_yogi_moment, 1 - beta2))


class AdaptiveState(NamedTuple):
    """First and second moment of the pseudo-gradient; shaped like the parameters."""

    m: Any
    v: Any


class AdaptiveNumbers(NamedTuple):
    """η, β₁, 1 − β₁ and τ of Algorithm 2.

    1 − β₁ is subtracted in Python's double precision, not in the round's.
    """

    learning_rate: Number
    beta1: Number
    rest1: Number
    tau: Number


def _adaptive(
    learning_rate: float, beta1: float, tau: float, second_moment: Callable[[Array, Array], Array]
) -> Strategy:
    """Algorithm 2: m ← β₁m + (1 − β₁)Δ; w ← w + η·m/(√v + τ), starting from v = τ²."""
    numbers = AdaptiveNumbers(learning_rate, beta1, 1 - beta1, tau)
    update = Partial(_adaptive_update, second_moment, numbers)
    return fed_opt(optax.GradientTransformation(Partial(_adaptive_init, tau**2), update))


def _adaptive_init(start: float, params: Params) -> AdaptiveState:
    return AdaptiveState(
        jax.tree.map(jnp.zeros_like, params), jax.tree.map(lambda w: 0 * w + start, params)
    )


def _adaptive_update(
    second_moment: Callable[[Array, Array], Array],
    numbers: AdaptiveNumbers,
    grads: Params,
    state: AdaptiveState,
    params: Params | None = None,  # noqa: ARG001 - part of optax's signature
) -> tuple[Params, AdaptiveState]:
    learning_rate, beta1, rest1, tau = numbers
    m = jax.tree.map(lambda m, g: beta1 * m + rest1 * g, state.m, grads)
    v = jax.tree.map(second_moment, state.v, grads)
    updates = jax.tree.map(lambda m, v: -learning_rate * m / (jnp.sqrt(v) + tau), m, v)
    return updates, AdaptiveState(m, v)


def _adagrad_moment(v: Array, delta: Array) -> Array:
    return v + delta**2


def _adam_moment(beta2: Number, rest2: Number, v: Array, delta: Array) -> Array:
    return beta2 * v + rest2 * delta**2


def _yogi_moment(rest2: Number, v: Array, delta: Array) -> Array:
    return v - rest2 * delta**2 * jnp.sign(v - delta**2)


class FedAvgConfig(Section):
    """The mean of the clients' models, weighted by samples (arXiv:1602.05629)."""

    kind: Literal["fed_avg"] = "fed_avg"

    def build(self, context: Context) -> Strategy:
        """The strategy."""
        return fed_avg()


class FedProxConfig(Section):
    """FedAvg with a proximal term on the clients (arXiv:1812.06127)."""

    kind: Literal["fed_prox"] = "fed_prox"
    mu: PositiveFloat = 0.01
    """Proximal strength."""

    def build(self, context: Context) -> Strategy:
        """The strategy."""
        return fed_prox(self.mu)


class FedAvgMConfig(Section):
    """FedAvg with momentum on the server (arXiv:1909.06335)."""

    kind: Literal["fed_avg_m"] = "fed_avg_m"
    learning_rate: PositiveFloat = 1.0
    """Server learning rate."""
    beta: Decay = 0.9
    """Momentum."""

    def build(self, context: Context) -> Strategy:
        """The strategy."""
        return fed_avg_m(self.learning_rate, self.beta)


class FedAdagradConfig(Section):
    """Adagrad on the server (arXiv:2003.00295)."""

    kind: Literal["fed_adagrad"] = "fed_adagrad"
    learning_rate: PositiveFloat = 0.01
    """Server learning rate."""
    beta1: Decay = 0.0
    tau: PositiveFloat = 1e-3
    """Adaptivity: added to the square root of the sum of squares."""

    def build(self, context: Context) -> Strategy:
        """The strategy."""
        return fed_adagrad(self.learning_rate, self.beta1, self.tau)


class AdaptiveConfig(Section):
    """Keys of `fed_adam` and `fed_yogi`."""

    learning_rate: PositiveFloat = 0.01
    """Server learning rate."""
    beta1: Decay = 0.9
    beta2: Decay = 0.99
    tau: PositiveFloat = 1e-3
    """Adaptivity: added to the square root of the second moment."""


class FedAdamConfig(AdaptiveConfig):
    """Adam on the server, without bias correction (arXiv:2003.00295)."""

    kind: Literal["fed_adam"] = "fed_adam"

    def build(self, context: Context) -> Strategy:
        """The strategy."""
        return fed_adam(self.learning_rate, self.beta1, self.beta2, self.tau)


class FedYogiConfig(AdaptiveConfig):
    """Yogi on the server (arXiv:2003.00295)."""

    kind: Literal["fed_yogi"] = "fed_yogi"

    def build(self, context: Context) -> Strategy:
        """The strategy."""
        return fed_yogi(self.learning_rate, self.beta1, self.beta2, self.tau)
