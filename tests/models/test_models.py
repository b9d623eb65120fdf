"""Every kind of model: published sizes, shapes, gradients, clients; then each one's own law."""

from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedket.errors import CircuitError, ConfigError, DataError
from fedket.kinds import BUILT_IN
from fedket.models.classical import lenet5, matched_width, mlp
from fedket.models.layers import conv2d, max_pool
from fedket.models.network import plan_dense, plan_network, run_network
from fedket.models.vqc import readout_size, vqc
from fedket.quantum import ansatz
from fedket.section import Context, find_section
from fedket.types import Dataset

SEEDS = st.integers(0, 2**31 - 1)

PUBLISHED = {  # kind, keys, shape of a sample, classes, parameters
    "QFedFisher": ("vqc", {"num_qubits": 10, "num_layers": 60}, (32, 32), 10, 1_200),
    "QuNetQFL": ("vqc", {"circuit": "qunetqfl", "num_layers": 4}, (8, 8), 2, 48),
    "QuNetQFL, LeNet-5": ("lenet5", {}, (28, 28), 10, 61_706),
    "Chen and Yoo": ("hybrid", {"hidden": (4096, 4096)}, (25_088,), 2, 119_562_268),
    "MPS and Chen and Yoo": ("mps", {}, (28, 28), 2, 784 * 2 * 4**2 + 4 * 4**2 + 24),
    "one qubit, re-uploaded": (  # 3 + 2 a layer
        "reuploading",
        {"layer": (("Rot", 0),), "num_qubits": 1, "num_layers": 6, "readout": "z0"},
        (2,),
        2,
        30,
    ),
    "QFed": ("quantum_train", {}, (28, 28), 10, 1_497),  # 1,248 angles + 249 of the map
    "QFed, CNN": ("cnn", {}, (28, 28), 10, 6_690),
    "logistic regression": ("mlp", {}, (8, 8), 10, 64 * 10 + 10),
}

LAYERS = {"layers": ("conv 2 3", "pool", "relu", "linear 3"), "image_side": 6}
SMALL = {  # kind, keys, shape of a sample, classes
    "vqc": ("vqc", {"num_qubits": 4, "num_layers": 2}, (4, 4), 10),
    "vqc, arctan": (
        "vqc",
        {"circuit": "chen_yoo", "num_qubits": 4, "encoding": "arctan", "readout": "z"},
        (4,),
        2,
    ),
    "hybrid": ("hybrid", {}, (3,), 2),
    "hybrid, hidden": ("hybrid", {"hidden": (6,), "dropout": 0.2, "readout": "z_zz"}, (3,), 3),
    "mps": ("mps", {"bond": 2}, (5,), 2),
    "reuploading": ("reuploading", {"num_qubits": 2}, (5,), 2),
    "quantum_train": ("quantum_train", {**LAYERS, "num_layers": 1, "blocks": 5}, (6, 6), 3),
    "cnn": ("cnn", LAYERS, (6, 6), 3),
    "lenet5": ("lenet5", {}, (28, 28), 4),
    "mlp": ("mlp", {"hidden": (5,)}, (8, 8), 10),
    "qasm": ("qasm", {"file": "reuploading.qasm"}, (3,), 2),
    "pennylane": (
        "pennylane",
        {"circuit": "qnode.py:reuploading", "weights": {"weights": (2, 3)}},
        (3,),
        2,
    ),
    "qiskit": ("qiskit", {"circuit": "qiskit_circuit.py:reuploading"}, (3,), 2),
}
FOREIGN = {"qasm", "pennylane", "qiskit"}
"""Kinds whose circuits are the user's."""


def build(kind, keys, shape, classes):
    """A model as an experiment builds it."""
    none = np.zeros((0, *shape), np.float32), np.zeros(0, np.int32)
    dataset = Dataset("none", *none, *none, classes)
    context = Context(0, 1, 1, "float32", np.random.default_rng(0), dataset, batch_size=4)
    section = find_section("model", kind, Path())
    return section.model_validate(keys, context={"folder": Path(__file__).parent}).build(context)


@pytest.fixture(scope="module", params=SMALL)
def case(request):
    """Model, parameters and four samples of each kind."""
    model, shape = build(*SMALL[request.param]), SMALL[request.param][2]
    x = jax.random.uniform(jax.random.key(1), (4, *shape), minval=0.1)
    return model, model.init(jax.random.key(0)), x, SMALL[request.param][3]


def num_params(params):
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def gradient_of(model):
    """(params, x, cotangent) -> logits and gradient."""

    def logits_and_gradient(params, x, cotangent):
        logits, pull_back = jax.vjp(lambda p: model.apply(p, x), params)
        return logits, pull_back(cotangent)[0]

    return logits_and_gradient


def test_the_tables_hold_every_kind():
    assert {row[0] for row in SMALL.values()} == set(BUILT_IN["model"])
    assert {row[0] for row in PUBLISHED.values()} == set(BUILT_IN["model"]) - FOREIGN


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameter_counts_are_the_published_ones(name):
    *row, count = PUBLISHED[name]
    assert num_params(jax.eval_shape(build(*row).init, jax.random.key(0))) == count


def test_logits_depend_on_every_parameter_and_every_sample_only_on_itself(case):
    model, params, x, classes = case
    cotangent = jax.random.normal(jax.random.key(2), (4, classes))
    both = jax.jit(gradient_of(model))
    logits, gradient = both(params, x, cotangent)
    assert logits.shape == (4, classes)
    assert logits.dtype == x.dtype
    for leaf in jax.tree.leaves(gradient):
        assert np.isfinite(leaf).all()
        assert np.abs(leaf).max() > 0
    swapped, _ = both(params, x[::-1], cotangent)
    np.testing.assert_allclose(swapped[::-1], logits, atol=1e-5)


def test_the_start_is_a_function_of_its_randomness(case):
    model, params, _, _ = case
    again, other = (model.init(jax.random.key(seed)) for seed in (0, 1))
    jax.tree.map(np.testing.assert_array_equal, again, params)
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: (a != b).any(), other, params)))


def test_gradients_of_single_samples_are_those_of_batches_of_one(case):
    model, params, x, classes = case
    cotangent = jax.random.normal(jax.random.key(2), (4, classes))
    one = jax.vmap(gradient_of(model), in_axes=(None, 0, 0))
    logits, expected = jax.jit(one)(params, x[:, None], cotangent[:, None])
    whole_logits, whole = jax.jit(gradient_of(model))(params, x, cotangent)
    close = partial(np.testing.assert_allclose, atol=2e-5, rtol=1e-4)
    close(logits[:, 0], whole_logits)
    jax.tree.map(lambda leaf, total: close(leaf.sum(axis=0), total), expected, whole)
    if model.per_sample_vjp is not None:
        fast, pull_back = model.per_sample_vjp(params, x)
        close(fast, whole_logits)
        jax.tree.map(close, pull_back(cotangent), expected)


def test_clients_are_the_callers_vmap_and_other_numbers_compile_nothing(case):
    model, params, x, classes = case
    cotangent = jax.random.normal(jax.random.key(2), (4, classes))
    clients = jax.tree.map(lambda leaf: jnp.stack([leaf, 0.5 * leaf]), params)
    samples = jnp.stack([x, x[::-1]])
    together = jax.jit(jax.vmap(gradient_of(model), in_axes=(0, 0, None)))
    alone = jax.jit(gradient_of(model))
    found = together(clients, samples, cotangent)
    for i in range(2):
        expected = alone(jax.tree.map(lambda leaf, i=i: leaf[i], clients), samples[i], cotangent)
        jax.tree.map(
            lambda a, b, i=i: np.testing.assert_allclose(a[i], b, atol=2e-5), found, expected
        )
    together(jax.tree.map(lambda leaf: 2 * leaf, clients), samples[::-1], -cotangent)
    assert (together._cache_size(), alone._cache_size()) == (1, 1)


def test_the_plain_network_gives_the_models_logits(case):
    model, params, x, _ = case
    if model.plain_network is None:
        assert model.circuit is not None
        return
    found = run_network(*model.plain_network(params), x)
    np.testing.assert_allclose(found, model.apply(params, x), atol=1e-5)


@pytest.mark.parametrize("rate", [0.0, 0.5, 0.25, 1e-7, 0.9999999])
def test_a_network_is_made_anew_from_its_words(rate):
    network = plan_dense((4, 3, 2), ("relu", f"dropout {rate}"))
    assert network.layers[2].numbers == (rate,)
    assert plan_network(network.words, (4,), ["linear0", "linear1"]) == network


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
        vqc(ansatz.chen_yoo(), 2, encoding="arctan").apply(jnp.zeros((2, 12)), jnp.ones((1, 5)))
    model = lenet5()
    with pytest.raises(DataError, match="at most 32×32"):
        model.apply(model.init(jax.random.key(0)), jnp.ones((1, 40, 40)))
