"""Frozen networks against independent implementations, and weights that do not fit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedket.errors import DataError
from fedket.models.backbones import BACKBONES
from fedket.models.backbones.backbone import fit_weights, resize
from fedket.models.backbones.layers import adaptive_mean, depthwise, max_pool
from fedket.models.backbones.vgg16 import MEAN, STD


def random_weights(backbone, seed=0):
    """He-scaled kernels keep the maps' size through the layers; biases are not zero."""
    rng = np.random.default_rng(seed)
    weights = {}
    for name, shape in backbone.shapes.items():
        fan_in = np.prod(shape[:3]) if name.endswith("kernel") else 100
        weights[name] = (rng.normal(size=shape) * np.sqrt(2 / fan_in)).astype(np.float32)
    return weights


def numpy_vgg16(weights, image):
    """VGG16's features of one image in plain numpy, float64, written from the paper's table 1."""
    x = (image.astype(np.float64) - MEAN) / STD
    for block, count in enumerate((2, 2, 3, 3, 3), 1):
        for number in range(1, count + 1):
            layer = f"conv{block}_{number}"
            padded = np.pad(x, ((1, 1), (1, 1), (0, 0)))
            kernel, total = weights[f"{layer}/kernel"].astype(np.float64), 0.0
            for i in range(3):
                for j in range(3):
                    shifted = padded[i : i + x.shape[0], j : j + x.shape[1]]
                    total = total + np.tensordot(shifted, kernel[i, j], axes=1)
            x = np.maximum(total + weights[f"{layer}/bias"], 0)
        height, width = x.shape[0] // 2, x.shape[1] // 2
        x = x[: 2 * height, : 2 * width].reshape(height, 2, width, 2, -1).max(axis=(1, 3))
    return numpy_adaptive_mean(x, 7).transpose(2, 0, 1).ravel()


def numpy_adaptive_mean(x, size):
    """PyTorch's documented bins: floor(i n / size) to ceil((i + 1) n / size)."""
    bins = [
        [slice(i * n // size, -(-(i + 1) * n // size)) for i in range(size)] for n in x.shape[:2]
    ]
    return np.array([[x[r, c].mean(axis=(0, 1)) for c in bins[1]] for r in bins[0]])


@pytest.mark.parametrize("shape", [(32, 32), (69, 96)])
def test_vgg16_equals_plain_numpy(shape):
    backbone = BACKBONES["vgg16"]()
    weights = random_weights(backbone)
    images = np.random.default_rng(1).uniform(size=(1, *shape, 3)).astype(np.float32)
    features = jax.jit(backbone.apply)(jax.tree.map(jnp.asarray, weights), jnp.asarray(images))
    expected = numpy_vgg16(weights, images[0])
    assert features.shape == (1, 25_088)
    assert expected.std() > 0.01
    np.testing.assert_allclose(features[0], expected, atol=2e-4 * expected.max())


@pytest.mark.parametrize(("side", "size"), [(1, 7), (3, 7), (7, 7), (10, 7), (14, 7), (5, 2)])
def test_adaptive_pooling_is_pytorchs(side, size):
    x = np.random.default_rng(side).normal(size=(side, side + 1, 2)).astype(np.float32)
    np.testing.assert_allclose(
        adaptive_mean(jnp.asarray(x[None]), size)[0], numpy_adaptive_mean(x, size), atol=1e-6
    )


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("side", [4, 7])
@pytest.mark.parametrize("seed", [0, 1])
def test_depthwise_and_pooling_equal_xlas(side, stride, seed):
    rng = np.random.default_rng(seed)
    x = jnp.asarray(rng.normal(size=(2, side, side + 1, 3)), jnp.float32)
    weights = {
        "d/kernel": jnp.asarray(rng.normal(size=(3, 3, 3, 1)), jnp.float32),
        "d/bias": jnp.asarray(rng.normal(size=3), jnp.float32),
    }
    kernel = weights["d/kernel"].transpose(0, 1, 3, 2)
    expected = jax.lax.conv_general_dilated(
        x,
        kernel,
        (stride, stride),
        "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=3,
    )
    np.testing.assert_allclose(
        depthwise(weights, "d", x, stride), expected + weights["d/bias"], atol=1e-5
    )
    window, steps = (1, 3, 3, 1), (1, stride, stride, 1)
    pooled = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, steps, "VALID")
    np.testing.assert_array_equal(max_pool(x, 3, stride), pooled)


# Published parameter counts: VGG16's convolutions 14,714,688 (arXiv:1409.1556); SqueezeNet 1.1 and
# MobileNetV2 without their classifiers as in the data files' description.
@pytest.mark.parametrize(
    ("name", "count", "features"),
    [
        ("vgg16", 14_714_688, 25_088),
        ("squeezenet1_1", 722_496, 512),
        ("mobilenet_v2", 2_206_816, 1_280),
    ],
)
def test_sizes_are_the_published_ones(name, count, features):
    backbone = BACKBONES[name]()
    assert sum(int(np.prod(shape)) for shape in backbone.shapes.values()) == count
    shapes = {n: jax.ShapeDtypeStruct(s, jnp.float32) for n, s in backbone.shapes.items()}
    for side in (backbone.smallest_side, 65):
        images = jax.ShapeDtypeStruct((2, side, side, 3), jnp.float32)
        assert jax.eval_shape(backbone.apply, shapes, images).shape == (2, features)
    assert backbone.num_features == features


def test_resizing_keeps_constants_and_sizes():
    images = jnp.full((2, 5, 9, 3), 0.25)
    np.testing.assert_allclose(resize(images, 7), jnp.full((2, 7, 7, 3), 0.25), atol=1e-6)
    square = jax.random.uniform(jax.random.key(0), (2, 8, 8, 3))
    assert resize(square, 8) is square


def as_torch(backbone, weights):
    """The same weights under PyTorch's names and in its layout."""
    return {
        torch: weights[own].transpose(3, 2, 0, 1) if own.endswith("kernel") else weights[own]
        for torch, own in backbone.torch_names.items()
    }


def test_pytorchs_names_and_layout_are_understood():
    backbone = BACKBONES["vgg16"]()
    weights = random_weights(backbone)
    classifier = {"classifier.0.weight": np.zeros((2, 2), np.float32)}
    fitted = fit_weights(backbone, as_torch(backbone, weights) | classifier, "vgg.pth")
    assert fitted.keys() == weights.keys()
    for name, array in weights.items():
        np.testing.assert_array_equal(fitted[name], array)
    # torchvision's numbering of a few layers, from its source
    assert backbone.torch_names["features.0.weight"] == "conv1_1/kernel"
    assert backbone.torch_names["features.10.bias"] == "conv3_1/bias"
    assert backbone.torch_names["features.28.weight"] == "conv5_3/kernel"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("conv1/bias"), r"lacks `conv1/bias` of squeezenet1_1; it holds 49 arrays"),
        (
            lambda w: w.update({"conv1/bias": np.zeros(3, np.float32)}),
            r"shape \(64,\).*got.*\(3,\)",
        ),
        (lambda w: w.update({"conv1/bias": np.zeros(64, np.int8)}), "should be floats"),
        (lambda w: w.update({"conv1/bias": np.full(64, np.nan)}), "holds NaN or infinity"),
    ],
)
def test_weights_that_do_not_fit_are_refused_by_name(change, message):
    backbone = BACKBONES["squeezenet1_1"]()
    weights = random_weights(backbone)
    change(weights)
    with pytest.raises(DataError, match=message) as error:
        fit_weights(backbone, weights, "a.npz")
    assert str(error.value).startswith("a.npz")


def test_a_missing_array_is_told_in_pytorchs_words_too():
    backbone = BACKBONES["vgg16"]()
    with pytest.raises(DataError, match=r"`conv1_1/kernel` \(or `features\.0\.weight`\)"):
        fit_weights(backbone, {}, "a.pth")
    with pytest.raises(DataError, match="a kernel has four axes"):
        fit_weights(backbone, {"features.0.weight": np.zeros((2, 2), np.float32)}, "a.pth")
