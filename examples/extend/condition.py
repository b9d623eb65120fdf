"""A condition of one's own: speeds with a heavy tail, most clients being fast and some very slow.

Run it with `python examples/extend/condition.py`, or name it:
`[conditions] seconds_per_step = {kind = "condition.py:Pareto", least = 0.1}`.
"""

import numpy as np

import fedket as fk


def pareto(least: float, alpha: float) -> fk.Draw:
    """`least` or more, beyond x with probability (least / x)**alpha; the same in all rounds."""

    def values(u: np.ndarray, _: int) -> np.ndarray:
        return least * (1 - u) ** (-1 / alpha)

    return fk.Draw(values)


class Pareto(fk.ConditionConfig):
    """The keys of a condition."""

    least: fk.PositiveFloat = 1.0
    alpha: fk.PositiveFloat = 1.5

    def build(self, context: fk.Context) -> fk.Draw:
        """How uniform numbers become the clients'."""
        return pareto(self.least, self.alpha)


if __name__ == "__main__":
    from first import demonstrate

    conditions = fk.Conditions(
        availability=fk.draws.constant(0.8), seconds_per_step=pareto(1.0, 1.5)
    )
    demonstrate(clients=fk.simulate_clients(conditions, seed=0, num_steps=[25] * 10))
