"""QFedFisher (arXiv:2507.17580): the mean of the clients' models, weighted by Fisher information.

With F_i a client's normalised diagonal, delta_i = w_i − w_global and F_s = Σ F_i:
w_s = Σ F_i⊙w_i / F_s = w_global + Σ F_i⊙delta_i / F_s. The two are equal; summing deltas instead of
models keeps the numbers small, so that they quantise with the clip of an update.
"""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from fedket.errors import ConfigError
from fedket.federated.fisher import FisherSettings, diagonal_fisher
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

    def contribute(params: Params, result: ClientResult) -> Contribution:
        delta = jax.tree.map(jnp.subtract, result.params, params)
        return {
            "fisher": result.measured,
            "fisher_delta": jax.tree.map(jnp.multiply, result.measured, delta),
            "mean_delta": jax.tree.map(lambda d: result.weight * d, delta),
        }

    def apply(
        state: ServerState, params: Params, total: Contribution
    ) -> tuple[ServerState, Params]:
        step = partial(_threshold_step if mode == "threshold_only" else _fisher_step, limit)
        sums = total["fisher"], total["fisher_delta"], total["mean_delta"]
        return state, jax.tree.map(jnp.add, params, jax.tree.map(step, *sums))

    def bounds(clip: float) -> dict[str, Bound]:
        if fisher.normalisation == "none":
            raise ConfigError(
                'strategy.normalisation = "none" leaves Fisher information without a bound, which '
                "words of fixed size need; use min_max, max or l1, or aggregation.kind = "
                '"plain"'
            )
        unweighted = Bound(1.0, weighted=False), Bound(clip, weighted=False)
        return {"fisher": unweighted[0], "fisher_delta": unweighted[1], "mean_delta": Bound(clip)}

    def metrics(total: Contribution) -> dict[str, Float[Array, ""]]:
        low = [_is_low(limit, leaf).reshape(-1) for leaf in jax.tree.leaves(total["fisher"])]
        return {"threshold_fraction": jnp.concatenate(low).mean()}

    return Strategy(
        init=lambda _: (),
        contribute=contribute,
        apply=apply,
        measure=partial(diagonal_fisher, fisher),
        bounds=bounds,
        metrics=metrics,
    )


def effective_threshold(threshold: float, mode: Mode) -> float:
    """Smallest summed information that a coordinate outside of I has."""
    return FLOOR if mode == "fisher_only" else max(threshold, FLOOR)


def _is_low(limit: float, fisher: Array) -> Bool[Array, "..."]:
    return fisher < limit


def _fisher_step(limit: float, fisher: Array, fisher_delta: Array, mean_delta: Array) -> Array:
    low = _is_low(limit, fisher)
    return jnp.where(low, mean_delta, fisher_delta / jnp.where(low, 1, fisher))


def _threshold_step(limit: float, fisher: Array, _: Array, mean_delta: Array) -> Array:
    return jnp.where(_is_low(limit, fisher), 0, mean_delta)
