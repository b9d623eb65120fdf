"""FedNova (Wang et al. 2020, arXiv:2007.07481): clients of different sizes, steps counted out.

FedAvg gives a client that takes more local steps more say in where the model goes. Here every
client sends its update per step, and the server takes as many steps as clients do in the mean.
"""

from typing import Annotated, Literal

import jax
from jax.tree_util import Partial
from pydantic import Field

from fedket.errors import ConfigError
from fedket.federated.program import Number
from fedket.schema import NonNegativeInt
from fedket.section import Context, Section
from fedket.types import Bound, ClientResult, Contribution, Params, ServerState, Strategy


def fed_nova(momentum: float = 0.0, max_steps: int = 0) -> Strategy:
    """FedNova: w ← w + τ_eff · Σ p_i·delta_i / ‖a_i‖₁ with τ_eff = Σ p_i·‖a_i‖₁.

    ‖a_i‖₁ is the number τ_i of a client's local steps, or with momentum ρ, whose state begins anew
    in every round, [τ_i − ρ(1 − ρ^τ_i)/(1 − ρ)] / (1 − ρ) (Section 3). For other optimisers, Adam
    say, ρ = 0 counts steps. Equal numbers of steps make it FedAvg.

    Args:
        momentum: ρ, of the clients' optimiser.
        max_steps: Steps of the largest client in a round; words of fixed size need it.
    """
    return Strategy(
        init=lambda _: (),
        contribute=Partial(_contribute, momentum),
        apply=_apply,
        bounds=Partial(_bounds, momentum, max_steps),
    )


def _length(momentum: Number, steps: Number) -> Number:
    """‖a‖₁ of so many steps."""
    rest = 1 - momentum
    return (steps - momentum * (1 - momentum**steps) / rest) / rest


def _contribute(momentum: Number, params: Params, result: ClientResult) -> Contribution:
    length = _length(momentum, result.steps)
    share = result.weight / length
    direction = jax.tree.map(lambda w, g: share * (w - g), result.params, params)
    return {"direction": direction, "length": result.weight * length}


def _apply(state: ServerState, params: Params, total: Contribution) -> tuple[ServerState, Params]:
    length = total["length"]
    return state, jax.tree.map(lambda w, d: w + length * d, params, total["direction"])


def _bounds(momentum: float, max_steps: int, clip: float) -> dict[str, Bound]:
    if not max_steps:
        raise ConfigError(
            "strategy.max_steps is 0, and how many local steps the largest client takes is not "
            'known here; words of fixed size need it: say so, or use aggregation.kind = "plain"'
        )
    return {"direction": Bound(clip), "length": Bound(float(_length(momentum, float(max_steps))))}


class FedNovaConfig(Section):
    """The mean update per local step, times the mean number of steps (arXiv:2007.07481)."""

    kind: Literal["fed_nova"] = "fed_nova"
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Of the clients' optimiser: `optimizer.momentum`, 0 for every other kind."""
    max_steps: NonNegativeInt = 0
    """Local steps of the largest client in a round, which quantised and masked aggregation must
    know; 0 counts them in the partition, which is not known where clients are sites."""

    def build(self, context: Context) -> Strategy:
        """The strategy."""
        return fed_nova(self.momentum, self.max_steps or context.max_steps)
