"""Every model: shapes, gradients, published parameter counts; then each one's own law."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedket.errors import CircuitError, ConfigError, DataError
from fedket.models import cnn, lenet5, matched_width, mlp, plan_target, quantum_train, vqc
from fedket.models.layers import conv2d, max_pool
from fedket.models.vqc import readout_size
from fedket.quantum import ansatz

SEEDS = st.integers(0, 2**31 - 1)

MODELS = {  # model, sample shape, classes, parameters and where the number comes from
    "vqc": (vqc(ansatz.qfedfisher(4, 2), 10, readout="z_zz"), (4, 4), 10, 16),
    "vqc, arctan": (vqc(ansatz.chen_yoo(), 2, encoding="arctan", readout="z"), (4,), 2, 24),
    "lenet5": (lenet5(), (28, 28), 10, 61_706),  # QuNetQFL
    "logistic": (mlp(64, 10), (8, 8), 10, 650),
    "mlp": (mlp(64, 10, (3,)), (8, 8), 10, 235),
    "quantum_train": (quantum_train(), (28, 28), 10, 1_497),  # QFed: 1,248 + 249
    "cnn": (cnn(plan_target()), (28, 28), 10, 6_690),  # QFed's network trained itself
}


def num_params(params):
    return sum(leaf.size for leaf in jax.tree.leaves(params))


@pytest.mark.parametrize("name", MODELS)
def test_parameter_counts_are_the_published_ones(name):
    model, _, _, count = MODELS[name]
    assert num_params(jax.eval_shape(model.init, jax.random.key(0))) == count


@pytest.mark.parametrize("name", MODELS)
def test_logits_depend_on_every_parameter_and_every_sample_only_on_itself(name):
    model, shape, classes, _ = MODELS[name]
    params = model.init(jax.random.key(0))
    x = jax.random.uniform(jax.random.key(1), (3, *shape), minval=0.1)

    @jax.jit
    def logits_and_gradient(params, x):
        logits, pull_back = jax.vjp(lambda p: model.apply(p, x), params)
        return logits, pull_back(jax.random.normal(jax.random.key(2), logits.shape))[0]

    logits, gradient = logits_and_gradient(params, x)
    assert logits.shape == (3, classes)
    for leaf in jax.tree.leaves(gradient):
        assert np.isfinite(leaf).all()
        assert np.abs(leaf).max() > 0
    swapped, _ = logits_and_gradient(params, x[::-1])
    np.testing.assert_allclose(swapped[::-1], logits, atol=1e-5)


@given(seed=SEEDS)
def test_im2col_convolution_equals_xlas(seed):
    rng = np.random.default_rng(seed)
    x = jnp.asarray(rng.normal(size=(3, 9, 8, 2)), jnp.float32)
    kernel = jnp.asarray(rng.normal(size=(4, 3, 5, 5)), jnp.float32)
    bias = jnp.asarray(rng.normal(size=4), jnp.float32)
    layout = ("CHWN", "OIHW", "CHWN")
    expected = jax.lax.conv_general_dilated(x, kernel, (1, 1), "VALID", dimension_numbers=layout)
    expected = expected + bias[:, None, None, None]
    np.testing.assert_allclose(conv2d(kernel, bias, x), expected, atol=1e-4)


@given(seed=SEEDS)
def test_reshape_pooling_equals_xlas_window_reduction(seed):
    x = jnp.asarray(np.random.default_rng(seed).normal(size=(3, 6, 8, 2)), jnp.float32)
    window = (1, 2, 2, 1)
    expected = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")
    np.testing.assert_array_equal(max_pool(x), expected)


@given(seed=SEEDS)
def test_pooling_sends_the_gradient_to_the_first_maximum_of_each_tile(seed):
    """Few distinct values make ties; the first is counted row by row, as PyTorch does."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 3, size=(2, 4, 6, 3)).astype(np.float32)
    weight = rng.normal(size=(2, 2, 3, 3)).astype(np.float32)
    found = jax.grad(lambda x: (max_pool(x) * weight).sum())(jnp.asarray(x))
    expected = np.zeros_like(x)
    for c, i, j, b in np.ndindex(*weight.shape):
        tile = x[c, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2, b]
        row, column = divmod(int(tile.argmax()), 2)
        expected[c, 2 * i + row, 2 * j + column, b] = weight[c, i, j, b]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("target", [100, 240, 1_000, 61_706])
def test_a_matched_baseline_is_within_half_a_unit_of_its_target(target):
    width = matched_width(64, 10, target)
    count = num_params(jax.eval_shape(mlp(64, 10, (width,)).init, jax.random.key(0)))
    assert width == 1 or abs(count - target) <= (64 + 1 + 10) / 2


def test_expectation_logits_are_bounded_by_their_scale():
    """⟨Z⟩ in [−1, 1]: with scale 1 two-class loss cannot fall below ln(1 + e⁻²) = 0.127."""
    model = vqc(ansatz.chen_yoo(), 2, encoding="arctan", readout="z", logit_scale=1.0)
    params = 3 * model.init(jax.random.key(0))
    logits = model.apply(params, jax.random.normal(jax.random.key(1), (64, 4)))
    assert np.abs(logits).max() <= 1 + 1e-6


@pytest.mark.parametrize("readout", ["z", "z_zz", "probabilities"])
def test_a_readout_offers_exactly_its_size(readout):
    size = readout_size(readout, 3)
    vqc(ansatz.qunetqfl(3, 1), size, readout=readout)
    with pytest.raises(ConfigError, match=rf"has {size} values for {size + 1} classes"):
        vqc(ansatz.qunetqfl(3, 1), size + 1, readout=readout)


def test_samples_that_do_not_fit_are_refused():
    with pytest.raises(CircuitError, match="one feature per qubit: 4, got 5"):
        MODELS["vqc, arctan"][0].apply(jnp.zeros((2, 12)), jnp.ones((1, 5)))
    model = lenet5()
    with pytest.raises(DataError, match="at most 32×32"):
        model.apply(model.init(jax.random.key(0)), jnp.ones((1, 40, 40)))
