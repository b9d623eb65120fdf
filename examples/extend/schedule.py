"""A learning-rate schedule of one's own: round, from 1 -> what the rate is multiplied by.

Run it with `python examples/extend/schedule.py`, or name it: `[schedule] kind =
"schedule.py:Inverse"`.
"""

import jax.numpy as jnp
import optax
from jax.tree_util import Partial

import fedket as fk


def inverse(slope: float, elapsed: jnp.ndarray) -> jnp.ndarray:
    """1 / (1 + slope · rounds); bound by `Partial`, the slope is an argument of the program."""
    return 1 / (1 + slope * elapsed)


class Inverse(fk.ScheduleConfig):
    """The keys of `[schedule]`; `warmup_rounds` is there already."""

    slope: fk.PositiveFloat = 0.1

    def course(self, context: fk.Context):
        """Rounds since the first one after the warm-up -> factor."""
        return Partial(inverse, self.slope)


if __name__ == "__main__":
    from first import demonstrate

    schedule = Partial(inverse, 0.5)
    demonstrate(training=fk.LocalTraining(optax.adam(0.05), epochs=2, schedule=schedule))
