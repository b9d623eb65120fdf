"""A strategy of one's own: the server moves only along coordinates that clients agree on.

Run it with `python examples/extend/strategy.py`, or name it:
`[strategy] kind = "strategy.py:Agree"`.
"""

import jax
import jax.numpy as jnp

import fedket as fk


def agreement(threshold: float) -> fk.Strategy:
    """FedAvg where at least a share `threshold` of the weight moves in the same direction."""

    def contribute(params: fk.Params, result: fk.ClientResult) -> fk.Contribution:
        delta = jax.tree.map(jnp.subtract, result.params, params)
        weighted = jax.tree.map(lambda d: result.weight * d, delta)
        return {
            "delta": weighted,
            "sign": jax.tree.map(lambda d: result.weight * jnp.sign(d), delta),
        }

    def apply(server: fk.ServerState, params: fk.Params, total: fk.Contribution) -> tuple:
        def move(w: jax.Array, delta: jax.Array, sign: jax.Array) -> jax.Array:
            return w + jnp.where(jnp.abs(sign) >= threshold, delta, 0)

        return server, jax.tree.map(move, params, total["delta"], total["sign"])

    def bounds(clip: float) -> dict[str, fk.Bound]:
        return {"delta": fk.Bound(clip), "sign": fk.Bound(1.0)}

    return fk.Strategy(lambda _: (), contribute, apply, bounds=bounds)


class Agree(fk.Section):
    """The keys of `[strategy]`."""

    threshold: fk.PositiveFloat = 0.6

    def build(self, context: fk.Context) -> fk.Strategy:
        """The strategy."""
        return agreement(self.threshold)


if __name__ == "__main__":
    from first import demonstrate

    demonstrate(strategy=agreement(0.6))
