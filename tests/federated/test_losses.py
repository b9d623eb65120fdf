"""Losses per sample."""

import jax.numpy as jnp
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fedket.federated.losses import cross_entropy, squared_error


@given(seed=st.integers(0, 2**31 - 1))
def test_on_plus_and_minus_z_it_is_the_squared_distance_from_the_signed_label(seed):
    """QuNetQFL, arXiv:2501.12709: ⟨Z₀⟩ against labels +1 (class 0) and −1 (class 1)."""
    z = jnp.asarray(np.random.default_rng(seed).uniform(-1, 1, 5), jnp.float32)
    for label, target in ((0, 1), (1, -1)):
        y = jnp.full(z.shape, label, jnp.int32)
        np.testing.assert_allclose(
            squared_error(jnp.stack([z, -z], axis=1), y), (z - target) ** 2, atol=1e-6
        )


def test_only_the_exact_targets_cost_nothing():
    logits = jnp.asarray([[-1.0, 1.0, -1.0], [-1.0, 1.0, -1.0]])
    np.testing.assert_allclose(squared_error(logits, jnp.asarray([1, 0])), [0, 8 / 3], atol=1e-6)


def test_equal_logits_cost_the_logarithm_of_the_classes():
    np.testing.assert_allclose(
        cross_entropy(jnp.zeros((2, 5)), jnp.asarray([0, 3])), np.log(5), rtol=1e-6
    )
