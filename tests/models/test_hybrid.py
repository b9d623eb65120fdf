"""The hybrid model: the published size, dropout in training only, and the circuit it ends in."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedket.errors import ConfigError
from fedket.models.hybrid import hybrid
from fedket.models.layers import dropout
from fedket.models.vqc import vqc
from fedket.quantum import ansatz

CIRCUIT = ansatz.chen_yoo()


def count(model):
    leaves = jax.tree.leaves(jax.eval_shape(model.init, jax.random.key(0)))
    return sum(leaf.size for leaf in leaves)


def test_the_papers_head_and_circuit_have_119_562_268_parameters():
    """25088·4096 + 4096 + 4096·4096 + 4096 + 4096·4 + 4, and 24 angles (arXiv:2103.12010)."""
    assert count(hybrid(25_088, CIRCUIT, 2, hidden=(4096, 4096))) == 119_562_268
    assert count(hybrid(1280, CIRCUIT, 2)) == 1280 * 4 + 4 + 24


def test_the_head_feeds_the_circuit():
    model = hybrid(3, CIRCUIT, 2, hidden=(5,))
    params = model.init(jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (6, 3))
    first, second = params["head"]["linear0"], params["head"]["linear1"]
    inner = jnp.maximum(x @ first["kernel"].T + first["bias"], 0)
    numbers = inner @ second["kernel"].T + second["bias"]
    circuit = vqc(CIRCUIT, 2, encoding="arctan", readout="z", logit_scale=1.0)
    expected = circuit.apply(params["circuit"], numbers)
    logits = jax.jit(model.apply)(params, x)
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    assert np.abs(logits).max() <= 1


def test_dropout_acts_in_training_only():
    model = hybrid(3, CIRCUIT, 2, hidden=(64,))
    params = model.init(jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (6, 3))
    apply = jax.jit(model.apply)
    first, again, other = (apply(params, x, jax.random.key(seed)) for seed in (2, 2, 3))
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-4
    assert np.abs(first - apply(params, x)).max() > 1e-4
    without = hybrid(3, CIRCUIT, 2, hidden=(64,), dropout=0.0)
    np.testing.assert_allclose(
        without.apply(params, x, jax.random.key(2)), apply(params, x), atol=1e-6
    )


@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_dropout_zeroes_its_share_and_keeps_the_mean(rate):
    h = jnp.ones((100, 400))
    dropped = np.asarray(dropout(h, rate, jax.random.key(0)))
    kept = dropped > 0
    np.testing.assert_allclose(dropped[kept], 1 / (1 - rate), rtol=1e-6)
    # 40,000 draws: five standard deviations are below 0.0125
    assert abs(kept.mean() - (1 - rate)) < 0.0125
    assert not np.array_equal(kept[0], kept[1])


def test_an_encoding_of_whole_vectors_is_refused():
    with pytest.raises(ConfigError, match="one number per qubit"):
        hybrid(3, CIRCUIT, 2, encoding="amplitude")
