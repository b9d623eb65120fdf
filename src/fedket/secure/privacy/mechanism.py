"""Noise on a sum of clients' contributions, worked out before the round.

One client changes the sum by at most the clip C in L2 norm, whatever its samples. Contributions
become integers with s steps per unit, rotated and rounded so that their norm stays within Δ₂, and
noise of standard deviation z·C·s is added to the sum, z the noise multiplier:

skellam, discrete_gaussian  by the clients, z·C·s/√h each, h the honest clients in the sum: all who
                            must be in it but the colluders. More clients add more noise.
gaussian                    by the server, which must be trusted with the sum.
local_gaussian              by every client, all of it: nobody need be trusted.

s is as large as the range of the sum allows: sums beyond it wrap round. Coordinates of the sum have
a variance of at most (nCs)²/m + n/4 and the noise's; m coordinates are mixed by the rotation. A
wrap-around in any of d coordinates of a round is as likely as `WRAP` at most (subgaussian tails;
public signs: not against a client that trains towards it).
"""

import math
import os
from functools import lru_cache
from typing import Literal, NamedTuple

from fedket.errors import ConfigError
from fedket.secure.privacy.accounting import (
    Curve,
    distributed_gaussian_curve,
    gaussian_curve,
    noise_for,
    rounded_l2,
    skellam_curve,
)
from fedket.secure.privacy.exact import MAX_DEVIATION, Entropy, Law
from fedket.secure.privacy.rotation import mixed

WRAP = 1e-6
"""Chance of a round in which any coordinate wraps round, at most."""

FINEST = 2.0**30
"""Most steps to the clip: the square of a norm fits 64 bits."""

VOTE = 0.5
"""Change of the number by which a client says whether it is within an adaptive clip, over the clip:
one coordinate more of what it contributes, see `fedket.federated.adaptive_clip`."""

VOTED_NORM = math.sqrt(1 + VOTE**2 / 4)
"""Largest norm of a contribution with it, over the clip."""

Kind = Literal["skellam", "discrete_gaussian", "gaussian", "local_gaussian"]


class Budget(NamedTuple):
    """What may be spent, and on how much.

    Attributes:
        epsilon: ε.
        delta: δ.
        times: Rounds of the run that one client takes part in, at most.
    """

    epsilon: float
    delta: float
    times: int


class Mechanism(NamedTuple):
    """How contributions are noised.

    Attributes:
        kind: Which noise, and who adds it.
        clip: Largest L2 norm of what a client contributes (C), in units of an unweighted update.
        noise: Noise multiplier (z), 0 for none; or the budget that decides it.
        cohort: Clients of a round as planned: sums are divided by it, whoever takes part.
        survivors: Clients without which no sum is opened.
        colluders: Of these, how many may give away their noise.
        entropy: Where noise comes from: the operating system but in tests.
    """

    kind: Kind
    clip: float
    noise: float | Budget
    cohort: int
    survivors: int
    colluders: int = 0
    entropy: Entropy = os.urandom

    @property
    def distributed(self) -> bool:
        """Whether clients share the noise."""
        return self.kind in ("skellam", "discrete_gaussian")

    @property
    def honest(self) -> int:
        """Clients whose noise counts (h)."""
        return self.survivors - self.colluders if self.distributed else 1


class ExampleNoise(NamedTuple):
    """Noise on the steps of local training: the promise is to each sample, not to each client.

    Attributes:
        clip: Largest L2 norm of a sample's gradient (C).
        noise: Noise multiplier (z), over C; or the budget that decides it.
    """

    clip: float
    noise: float | Budget


class Plan(NamedTuple):
    """A mechanism for contributions of some length, and sums of some range.

    Attributes:
        noise_multiplier: z.
        scale: Steps per unit (s).
        l2: Δ₂, in steps.
        client: What each client adds, in steps.
        server: What the server adds, in steps.
        curve: What a round costs.
    """

    noise_multiplier: float
    scale: float
    l2: float
    client: Law
    server: Law
    curve: Curve


@lru_cache(maxsize=32)
def plan_noise(mechanism: Mechanism, num_values: int, reach: int) -> Plan:
    """Work out scale, noise and cost.

    Args:
        mechanism: What is asked for.
        num_values: Values of a contribution (d).
        reach: Largest absolute value of a sum, in steps.

    Raises:
        ConfigError: Words are too small, or too little noise is allowed.
    """
    noise = mechanism.noise
    if isinstance(noise, Budget):
        times = noise.times

        def total(z: float) -> Curve:
            return times * _plan(mechanism, num_values, reach, z).curve

        noise = noise_for(total, noise.epsilon, noise.delta)
    plan = _plan(mechanism, num_values, reach, noise)
    if plan.l2 > 2 * mechanism.clip * plan.scale:
        raise ConfigError(
            f"[privacy] leaves {mechanism.clip * plan.scale:.3g} steps of aggregation.bits for a "
            f"clipped update of {num_values:,} values under noise of multiplier {noise:.3g}: "
            "rounding would cost more than the update; use more bits, less noise, or fewer values"
        )
    return plan


def _plan(mechanism: Mechanism, num_values: int, reach: int, z: float) -> Plan:
    clip, clients = mechanism.clip, mechanism.cohort
    each = z * clip / math.sqrt(mechanism.honest)
    by_clients, by_server = (0.0, each) if mechanism.kind == "gaussian" else (each, 0.0)
    tail = math.sqrt(2 * math.log(2 * num_values / WRAP))
    rounding = clients / 4
    room = (reach / tail) ** 2 - rounding
    spread = (clients * clip) ** 2 / mixed(num_values) + clients * by_clients**2
    scale = min(math.sqrt(max(room, 0) / spread), FINEST / clip)
    if each:
        scale = min(scale, MAX_DEVIATION / each)
    l2, deviation = rounded_l2(clip * scale, num_values), each * scale
    law: Literal["skellam", "discrete_gaussian"] = (
        "skellam" if mechanism.kind == "skellam" else "discrete_gaussian"
    )
    curve = _curve(mechanism, num_values, l2, deviation)
    client, server = Law(law, by_clients * scale), Law(law, by_server * scale)
    return Plan(z, scale, l2, client, server, curve)


def _curve(mechanism: Mechanism, num_values: int, l2: float, deviation: float) -> Curve:
    honest = mechanism.honest
    if mechanism.kind == "skellam":
        return skellam_curve(l2, num_values, honest * deviation**2)
    if mechanism.kind == "discrete_gaussian":
        return distributed_gaussian_curve(l2, num_values, deviation, honest)
    return gaussian_curve(deviation / l2 if l2 else 0.0)
