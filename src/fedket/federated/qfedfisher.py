"""QFedFisher (arXiv:2507.17580): the mean of the clients' models, weighted by Fisher information.

With F_i a client's normalised diagonal, delta_i = w_i − w_global and F_s = Σ F_i:
w_s = Σ F_i⊙w_i / F_s = w_global + Σ F_i⊙delta_i / F_s. The two are equal; summing deltas instead of
models keeps the numbers small, so that they quantise with the clip of an update.
"""

from collections.abc import Callable
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float

from fedket.errors import ConfigError
from fedket.federated.fisher import FisherKind, FisherSettings, Normalisation, diagonal_fisher
from fedket.federated.losses import cross_entropy
from fedket.federated.program import Number
from fedket.quantum.memory import available_bytes
from fedket.schema import NonNegativeFloat, NonNegativeInt
from fedket.section import Context, Section
from fedket.types import Bound, ClientResult, Contribution, Params, ServerState, Strategy

Mode = Literal["both", "fisher_only", "threshold_only"]

FLOOR = 1e-6
"""Summed information below which `fisher_only` takes the mean all the same, to avoid 0/0."""


def qfedfisher(
    threshold: float = 0.01,
    mode: Mode = "both",
    fisher: FisherSettings = FisherSettings(),  # noqa: B008 - immutable
) -> Strategy:
    """Average by Fisher information; coordinates with little of it fall back on FedAvg.

    I = {j : F_s,j < δ} gets the mean weighted by samples, Σ p_i·delta_i, all others the mean
    weighted by information. The two halves of the rule alone are for ablation: the paper names
    them without a formula.

    Args:
        threshold: δ, on the sum of the clients' normalised diagonals.
        mode: `both`; `fisher_only` takes δ = `FLOOR`; `threshold_only` takes the mean weighted by
            samples outside of I and leaves I where it is.
        fisher: How a client estimates its diagonal.
    """
    limit = effective_threshold(threshold, mode)

    return Strategy(
        init=lambda _: (),
        contribute=_contribute,
        apply=Partial(_apply, _threshold_step if mode == "threshold_only" else _fisher_step, limit),
        measure=partial(diagonal_fisher, fisher),
        bounds=Partial(_bounds, fisher.normalisation),
        metrics=Partial(_metrics, limit),
    )


def _contribute(params: Params, result: ClientResult) -> Contribution:
    delta = jax.tree.map(jnp.subtract, result.params, params)
    return {
        "fisher": result.measured,
        "fisher_delta": jax.tree.map(jnp.multiply, result.measured, delta),
        "mean_delta": jax.tree.map(lambda d: result.weight * d, delta),
    }


def _apply(
    step: Callable[..., Array],
    limit: Number,
    state: ServerState,
    params: Params,
    total: Contribution,
) -> tuple[ServerState, Params]:
    sums = total["fisher"], total["fisher_delta"], total["mean_delta"]
    return state, jax.tree.map(jnp.add, params, jax.tree.map(partial(step, limit), *sums))


def _bounds(normalisation: Normalisation, clip: float) -> dict[str, Bound]:
    if normalisation == "none":
        raise ConfigError(
            'strategy.normalisation = "none" leaves Fisher information without a bound, which '
            "words of fixed size and robust rules need; use min_max, max or l1, or "
            'aggregation.kind = "plain"'
        )
    unweighted = Bound(1.0, weighted=False), Bound(clip, weighted=False)
    return {"fisher": unweighted[0], "fisher_delta": unweighted[1], "mean_delta": Bound(clip)}


def _metrics(limit: Number, total: Contribution) -> dict[str, Float[Array, ""]]:
    low = [_is_low(limit, leaf).reshape(-1) for leaf in jax.tree.leaves(total["fisher"])]
    return {"threshold_fraction": jnp.concatenate(low).mean()}


def effective_threshold(threshold: float, mode: Mode) -> float:
    """Smallest summed information that a coordinate outside of I has."""
    return FLOOR if mode == "fisher_only" else max(threshold, FLOOR)


def _is_low(limit: Number, fisher: Array) -> Bool[Array, "..."]:
    return fisher < limit


def _fisher_step(limit: Number, fisher: Array, fisher_delta: Array, mean_delta: Array) -> Array:
    low = _is_low(limit, fisher)
    return jnp.where(low, mean_delta, fisher_delta / jnp.where(low, 1, fisher))


def _threshold_step(limit: Number, fisher: Array, _: Array, mean_delta: Array) -> Array:
    return jnp.where(_is_low(limit, fisher), 0, mean_delta)


class QFedFisherConfig(Section):
    """The mean of the clients' models, weighted by Fisher information (arXiv:2507.17580)."""

    kind: Literal["qfedfisher"] = "qfedfisher"
    threshold: NonNegativeFloat = 0.01
    """Coordinates with less Fisher information, summed over clients, take FedAvg's mean (δ). Under
    `[privacy]` at least the noise on that sum, which `fedket show` says."""
    mode: Mode = "both"
    """For ablation: `fisher_only` has no threshold, `threshold_only` takes FedAvg's mean above the
    threshold and leaves coordinates below it where they are."""
    fisher: FisherKind = "empirical"
    """Mean of squared per-sample gradients, or (`literal`) square of the mean gradient."""
    normalisation: Normalisation = "min_max"
    """Of a client's Fisher information in each layer; `none` cannot be quantised."""
    fisher_samples: NonNegativeInt = 48
    """Samples a client draws for its Fisher information; 0 takes all. 48 cost a client with 600
    samples an eighth of its training time, the overhead that the paper reports."""

    def check(self, context: Context) -> None:
        """Raise `ConfigError` if a batch of per-sample gradients would not fit into memory."""
        itemsize = jnp.dtype(context.dtype).itemsize
        num_params = sum(leaf.size for leaf in jax.tree.leaves(context.params))
        needed = context.batch_size * num_params * itemsize
        if self.fisher == "empirical" and needed > available_bytes():
            raise ConfigError(
                f"gradients of {context.batch_size} samples by {num_params:,} parameters "
                f"need about {needed / 2**30:.1f} GiB, {available_bytes() / 2**30:.1f} GiB are "
                'available; use strategy.fisher = "literal", a smaller training.batch_size or a '
                "smaller model"
            )

    def build(self, context: Context) -> Strategy:
        """The strategy, with the loss and the batches of local training."""
        loss, batch_size = context.loss or cross_entropy, context.batch_size
        samples = self.fisher_samples
        fisher = FisherSettings(self.fisher, self.normalisation, samples, batch_size, loss)
        return qfedfisher(self.threshold, self.mode, fisher)
