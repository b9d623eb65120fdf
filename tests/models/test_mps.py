"""The matrix-product-state extractor against its tensor written out, and the circuit behind it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedket.errors import CircuitError, ConfigError
from fedket.models.mps import mps
from fedket.models.vqc import vqc
from fedket.quantum import ansatz

CIRCUIT = ansatz.chen_yoo(3, 1)


@pytest.mark.parametrize("num_features", [1, 4, 5])
def test_the_extractor_is_its_whole_tensor_on_the_product_of_features(num_features):
    """The tensor has an index of two for each feature: one number for each corner of the cube."""
    with jax.enable_x64(True):
        model = mps(num_features, CIRCUIT, 2, bond=3, encoding="angle")
        params = model.init(jax.random.key(0))
        sites = jax.random.normal(jax.random.key(1), (num_features, 2, 3, 3), jnp.float64)
        params["head"] = {**params["head"], "sites": sites}
        x = jax.random.uniform(jax.random.key(2), (4, num_features), jnp.float64)
        numbers = np.zeros((4, 3))
        for corner in np.ndindex(*(2,) * num_features):
            weight = np.prod([x[:, i] if s else 1 - x[:, i] for i, s in enumerate(corner)], axis=0)
            for k, core in enumerate(np.asarray(params["head"]["output"])):
                chain = [np.asarray(sites[i, s]) for i, s in enumerate(corner)]
                chain.insert(num_features // 2, core)
                product = np.linalg.multi_dot(chain)
                numbers[:, k] += weight * product[0, 0]
        behind = vqc(CIRCUIT, 2, encoding="angle", readout="z", logit_scale=1.0)
        expected = behind.apply(params["circuit"], jnp.asarray(numbers))
        found = jax.jit(model.apply)(params, x)
        np.testing.assert_allclose(found, expected, atol=1e-10)


def test_other_numbers_of_features_and_whole_vectors_are_refused():
    model = mps(5, CIRCUIT, 2)
    with pytest.raises(CircuitError, match="expected 5 features, got 4"):
        model.apply(model.init(jax.random.key(0)), jnp.ones((1, 4)))
    with pytest.raises(ConfigError, match="one number per qubit"):
        mps(5, CIRCUIT, 2, encoding="amplitude")
