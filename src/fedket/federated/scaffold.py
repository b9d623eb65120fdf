"""SCAFFOLD (Karimireddy et al. 2020, arXiv:1910.06378): control variates against client drift.

Each client keeps c_i, its mean gradient of the last round it was in; the server keeps c, the mean
of all c_i. A local step takes g − c_i + c in place of its gradient g.
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


def scaffold(num_clients: int, learning_rate: float = 1.0, control_clip: float = 1.0) -> Strategy:
    """SCAFFOLD, Algorithm 1 with option II; every client sends two updates and is sent two models.

    Option II sets c_i to c_i − c + (x − y_i) / (K·η_l), K steps of rate η_l from x to y_i. For SGD
    that is the mean of the gradients g along the way, and so it is worked out here, whatever the
    optimiser. The model moves by the mean weighted by samples, as FedAvg's; c counts clients alike,
    as the paper does, and what is approached is the minimum of the plain mean of their losses.

    Args:
        num_clients: N, clients of the federation.
        learning_rate: η_g, of the server.
        control_clip: Largest coordinate of a change of c_i that words of fixed size carry; of no
            meaning where updates are added as they are.
    """
    return Strategy(
        init=_zeros,
        contribute=_contribute,
        apply=Partial(_apply, learning_rate, 1 / num_clients),
        bounds=Partial(_bounds, control_clip),
        broadcast=_broadcast,
        memory=ClientMemory(_zeros, _update, _correct, mean_gradient=True),
    )


def _zeros(params: Params) -> Params:
    return jax.tree.map(jnp.zeros_like, params)


def _broadcast(control: ServerState, params: Params) -> Broadcast:
    return Broadcast(params, control)


def _correct(sent: Broadcast, own: Params, _: Params, gradient: Params) -> Params:
    return jax.tree.map(lambda g, c_i, c: g - c_i + c, gradient, own, sent.extra)


def _update(_: Broadcast, result: ClientResult, retrain: Retrain) -> Params:  # noqa: ARG001
    return result.gradient


def _contribute(params: Params, result: ClientResult) -> Contribution:
    return {
        "control": jax.tree.map(jnp.subtract, result.gradient, result.memory),
        "delta": jax.tree.map(lambda w, g: result.weight * (w - g), result.params, params),
    }


def _apply(
    learning_rate: Number, share: Number, control: ServerState, params: Params, total: Contribution
) -> tuple[ServerState, Params]:
    control = jax.tree.map(lambda c, change: c + share * change, control, total["control"])
    return control, jax.tree.map(lambda w, d: w + learning_rate * d, params, total["delta"])


def _bounds(control_clip: float, clip: float) -> dict[str, Bound]:
    return {"control": Bound(float(control_clip), weighted=False), "delta": Bound(clip)}


class ScaffoldConfig(Section):
    """Control variates against client drift (arXiv:1910.06378); twice the traffic of `fed_avg`."""

    kind: Literal["scaffold"] = "scaffold"
    learning_rate: PositiveFloat = 1.0
    """Server learning rate."""
    control_clip: PositiveFloat = 1.0
    """Largest coordinate of a change of a client's control variate, a gradient, that words of fixed
    size carry; `aggregation.clip` is that of an update."""

    def build(self, context: Context) -> Strategy:
        """The strategy, for the number of clients."""
        return scaffold(context.num_clients, self.learning_rate, self.control_clip)
