"""Rounds of made-up updates, for tests."""

import jax
import jax.numpy as jnp
import numpy as np

from fedket.secure import round_cost
from fedket.types import RoundContext


def a_round(seed: int, num_clients: int, round_num: int = 1):
    """Weighted updates within +-1 of clients with uneven shares, as a pytree; 13 values each."""
    rng = np.random.default_rng(seed)
    shares = rng.uniform(0.2, 1, num_clients)
    shares /= shares.sum()
    deltas = rng.uniform(-1, 1, (num_clients, 13))
    values = jnp.asarray(deltas * shares[:, None], jnp.float32)
    tree = {"angles": values[:, :12].reshape(num_clients, 3, 4), "bias": values[:, 12]}
    ids = tuple(int(i) for i in np.sort(rng.choice(100, num_clients, replace=False)))
    return tree, RoundContext(seed, round_num, ids, tuple(float(share) for share in shares))


def assert_same_bits(one, two):
    assert jax.tree.structure(one) == jax.tree.structure(two)
    for left, right in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        assert left.dtype == right.dtype
        assert np.asarray(left).tobytes() == np.asarray(right).tobytes()


def expected_cost(protocol, context, num_values=13):
    """Bytes up and key bits of a round, as `round_cost` tells them before it begins."""
    cost = round_cost(protocol, context, num_values)
    return cost.upload_bytes, 8 * sum(cost.key.values())
