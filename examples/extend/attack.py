"""An attack of one's own: free riders, who train nothing and send a little noise.

Run it with `python examples/extend/attack.py`, or name it:
`[attack] kind = "attack.py:FreeRiding"`.
"""

import numpy as np

import fedket as fk


def free_riding(clients: tuple[int, ...], sigma: float) -> fk.Attack:
    """Noise as large as `sigma` times the honest updates' spread."""

    def send(honest: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return rng.normal(0, sigma * honest.std(), honest.shape[1]).astype(honest.dtype)

    return fk.Attack(clients, send)


class FreeRiding(fk.AttackConfig):
    """The keys of `[attack]` besides `share` and `clients`."""

    sigma: fk.PositiveFloat = 0.1

    def build(self, context: fk.Context) -> fk.Attack:
        """The attack."""
        return free_riding(self.attackers(context), self.sigma)


if __name__ == "__main__":
    from first import demonstrate

    demonstrate(reducer=fk.attacked(fk.plain_sum(), free_riding((2, 5), 0.1)))
