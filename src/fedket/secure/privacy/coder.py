"""A mechanism's two halves: contributions to noised integers at a client, their sum at a server.

The client: what it contributes, without its share of the samples: clip in L2, rotate, scale, round
at random until the norm is within Δ₂, add its noise. The server: add its own, undo the rest, and
divide by the number of clients that was planned: all weigh the same. A strategy's leaves are
brought to a common size by their public bounds, and clipped together.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from fedket.errors import ProtocolError
from fedket.rng import Purpose
from fedket.secure.encoding import Coder, flatten, is_bound, unflatten
from fedket.secure.privacy.exact import Entropy, draw
from fedket.secure.privacy.mechanism import Mechanism, Plan, plan_noise
from fedket.secure.privacy.rotation import Vector, rotate, rotate_back
from fedket.secure.quantise import CLIP_TOLERANCE, Quantised, Quantiser
from fedket.secure.words import Integers
from fedket.types import Bound, Contribution, RoundContext


def reach_of(quantiser: Quantiser, num_clients: int) -> int:
    """Largest absolute sum of words: those of `headroom` hold it in all, others once a client."""
    each = (1 << (quantiser.bits - 1)) - 1
    return each if quantiser.bits == quantiser.word_bits else each * num_clients


def private_coder(
    mechanism: Mechanism,
    quantiser: Callable[[Sequence[float]], Quantiser],
    clip: float,  # noqa: ARG001 - the same signature as the coder without noise
    context: RoundContext,
    num_values: int,
) -> Coder:
    """Return a round's coder; arguments as in `fedket.secure.encoding.quantising_coder`."""
    equal = [1 / mechanism.cohort] * mechanism.cohort
    reach = reach_of(quantiser(equal), mechanism.cohort)
    return coder_of(mechanism, context, num_values, reach)


def coder_of(mechanism: Mechanism, context: RoundContext, num_values: int, reach: int) -> Coder:
    """Return a round's coder for sums within ±`reach`.

    Raises:
        ConfigError: Words are too small for the noise, or a leaf has no bound.
    """
    plan = plan_noise(mechanism, num_values, reach)
    typical = mechanism.clip / math.sqrt(num_values)
    bounds = context.bounds(typical)
    signs = context.seed, int(Purpose.ROTATE), context.round_num

    def encode(client_id: int, contribution: Contribution) -> Quantised:
        weight = context.weights[context.client_ids.index(client_id)]
        factors = _factors(bounds, typical, 1 / weight)
        values = flatten(factors, contribution).astype(np.float64)
        if not np.isfinite(values).all():
            raise ProtocolError(f"the update of client {client_id} has values that are not finite")
        norm = math.sqrt(float(np.square(values).sum()))  # BLAS would wake threads for it
        clipped = norm > mechanism.clip * (1 + CLIP_TOLERANCE)
        steps = plan.scale * min(1.0, mechanism.clip / norm if norm else 1.0)
        rounded = _rounded(rotate(values * steps, signs), plan, mechanism.entropy)
        noise = draw(plan.client, num_values, mechanism.entropy)
        return Quantised(rounded + noise, 0, clipped)

    def decode(template: Contribution, total: Integers) -> Contribution:
        noised = total + draw(plan.server, num_values, mechanism.entropy)
        values = rotate_back(noised / plan.scale, signs)
        factors = _factors(bounds, typical, float(mechanism.cohort))
        return unflatten(factors, template, values)

    return Coder(encode, decode)


def _factors(bounds: Any, typical: float, per_weight: float) -> Any:
    """What leaves are multiplied by: all have values like those of an update at the clip then."""

    def factor(bound: Bound) -> float:
        return typical / bound.limit * (per_weight if bound.weighted else 1)

    return jax.tree.map(factor, bounds, is_leaf=is_bound)


def _rounded(values: Vector, plan: Plan, entropy: Entropy) -> Integers:
    """Round at random, unbiased, until the norm is within Δ₂.

    What is promised holds however values are rounded, so any generator does.
    """
    rng = np.random.Generator(np.random.SFC64(int.from_bytes(entropy(16), "big")))
    floor = np.floor(values)
    part, floor = values - floor, floor.astype(np.int64)
    while True:
        integers: Integers = floor + (rng.random(values.size) < part)
        if math.sqrt(float(np.dot(integers, integers))) <= plan.l2:
            return integers
