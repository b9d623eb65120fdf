"""Differential privacy: noise on sums of clients' contributions, with a number for what it hides.

`exact` draws integer noise, `rotation` spreads what is noised, `accounting` says what it costs,
`mechanism` works out scale and noise before a round, `coder` applies them at client and server.
"""

from fedket.secure.privacy.accounting import (
    ORDERS,
    Curve,
    distributed_gaussian_curve,
    epsilon_of,
    gaussian_curve,
    gaussian_epsilon,
    noise_for,
    rounded_l2,
    sampled_gaussian_curve,
    skellam_curve,
)
from fedket.secure.privacy.exact import Law, draw
from fedket.secure.privacy.mechanism import Budget, ExampleNoise, Mechanism, Plan, plan_noise
from fedket.secure.privacy.reducers import plan_of, private_protocol, private_sum

__all__ = [
    "ORDERS",
    "Budget",
    "Curve",
    "ExampleNoise",
    "Law",
    "Mechanism",
    "Plan",
    "distributed_gaussian_curve",
    "draw",
    "epsilon_of",
    "gaussian_curve",
    "gaussian_epsilon",
    "noise_for",
    "plan_noise",
    "plan_of",
    "private_protocol",
    "private_sum",
    "rounded_l2",
    "sampled_gaussian_curve",
    "skellam_curve",
]
