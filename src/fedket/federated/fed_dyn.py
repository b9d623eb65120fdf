"""FedDyn (Acar et al. 2021, arXiv:2111.04263): a regulariser that clients carry along.

Each client keeps s_k, the sum of its updates delta_k = w_k − w_global over the rounds it was in;
what Algorithm 1 writes ∇L_k(θ_k) is −α·s_k.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jax.tree_util import Partial

from fedket.federated.program import Number
from fedket.schema import PositiveFloat
from fedket.section import Context, Section
from fedket.types import (
    Bound,
    Broadcast,
    ClientMemory,
    ClientResult,
    Contribution,
    Params,
    Retrain,
    ServerState,
    Strategy,
)


def fed_dyn(num_clients: int, alpha: float = 0.01) -> Strategy:
    """FedDyn, Algorithm 1: w ← w + mean of delta_k + s, s the sum of all updates so far over m.

    A client descends L_k(w) + α⟨s_k, w⟩ + α/2·‖w − w_global‖². Clients count alike, as in the
    paper, so that what is approached is the minimum of the plain mean of their losses.

    Args:
        num_clients: m, clients of the federation.
        alpha: α, strength of the regulariser.
    """
    return Strategy(
        init=_zeros,
        contribute=_contribute,
        apply=Partial(_apply, 1 / num_clients),
        bounds=_bounds,
        memory=ClientMemory(_zeros, _update, Partial(_correct, alpha)),
    )


def _zeros(params: Params) -> Params:
    return jax.tree.map(jnp.zeros_like, params)


def _correct(alpha: Number, sent: Broadcast, drift: Params, w: Params, gradient: Params) -> Params:
    return jax.tree.map(
        lambda g, s, w, start: g + alpha * (w - start + s), gradient, drift, w, sent.params
    )


def _update(sent: Broadcast, result: ClientResult, retrain: Retrain) -> Params:  # noqa: ARG001
    return jax.tree.map(lambda s, w, g: s + (w - g), result.memory, result.params, sent.params)


def _contribute(params: Params, result: ClientResult) -> Contribution:
    delta = jax.tree.map(jnp.subtract, result.params, params)
    return {"clients": jnp.ones_like(result.weight), "delta": delta}


def _apply(
    share: Number, drift: ServerState, params: Params, total: Contribution
) -> tuple[ServerState, Params]:
    delta, count = total["delta"], jnp.round(total["clients"])
    drift = jax.tree.map(lambda s, d: s + share * d, drift, delta)
    return drift, jax.tree.map(lambda w, d, s: w + d / count + s, params, delta, drift)


def _bounds(clip: float) -> dict[str, Bound]:
    return {"clients": Bound(1.0, weighted=False), "delta": Bound(clip, weighted=False)}


class FedDynConfig(Section):
    """A dynamic regulariser that clients carry from round to round (arXiv:2111.04263)."""

    kind: Literal["fed_dyn"] = "fed_dyn"
    alpha: PositiveFloat = 0.01
    """Strength of the regulariser (α)."""

    def build(self, context: Context) -> Strategy:
        """The strategy, for the number of clients."""
        return fed_dyn(context.num_clients, self.alpha)
