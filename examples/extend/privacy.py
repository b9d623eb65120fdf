"""A promise of one's own: ρ-zCDP for each sample, which says the noise of a step by itself.

Run it with `python examples/extend/privacy.py`, or name it: `[privacy] kind = "privacy.py:Zcdp"`.
"""

import math

import fedket as fk


def multiplier(rho: float, epochs: int) -> float:
    """Noise multiplier of steps that cost ρ in so many epochs (Bun and Steinke 2016)."""
    return math.sqrt(epochs / (2 * rho))


class Zcdp(fk.PrivacyConfig):
    """The keys of `[privacy]`: those of every promise, and ρ."""

    rho: fk.PositiveFloat
    """What an epoch costs."""

    def check(self, context: fk.Context) -> None:
        """Nothing else is needed."""

    def build(self, context: fk.Context) -> fk.privacy.ExampleNoise:
        """Noise on the steps of local training."""
        return fk.privacy.ExampleNoise(self.clip, multiplier(self.rho, 1))


if __name__ == "__main__":
    curve = 10 * fk.privacy.gaussian_curve(multiplier(0.1, 10))
    print(f"epsilon of 10 epochs at rho 0.1: {fk.privacy.epsilon_of(curve, 1e-5):.3f}")
