"""Features are worked out once per network, preparation and image, and again when damaged."""

import numpy as np
import pytest

from fedket.data.features import cached_features, extract_all
from fedket.errors import DataError

RECIPE = "sums of nothing"


class Counting:
    """A stand-in for a network: two sums per image, counting its calls."""

    def __init__(self):
        self.shapes = []

    def __call__(self, images):
        self.shapes.append(images.shape)
        flat = images.reshape(len(images), -1)
        return np.stack([flat.sum(axis=1), flat[:, 0]], axis=1).astype(np.float32)


def parts(seed=0):
    rng = np.random.default_rng(seed)
    shapes = {"train": (7, 3, 3, 3), "test": (3, 3, 3, 3)}
    return {name: rng.uniform(size=shape).astype(np.float32) for name, shape in shapes.items()}


def test_batches_give_what_one_call_gives_in_one_shape():
    network, images = Counting(), parts()
    features = extract_all(network, images, "sums", batch=4)
    assert set(network.shapes) == {(4, 3, 3, 3)}
    for name, part in images.items():
        np.testing.assert_array_equal(features[name], Counting()(part))


def test_what_was_worked_out_is_not_worked_out_again(tmp_path):
    first = cached_features(Counting(), parts(), RECIPE, tmp_path / "new" / "folder")
    again = Counting()
    second = cached_features(again, parts(), RECIPE, tmp_path / "new" / "folder")
    assert again.shapes == []
    for name, features in first.items():
        np.testing.assert_array_equal(second[name], features)
    assert len(list((tmp_path / "new" / "folder").iterdir())) == 1


@pytest.mark.parametrize("what", ["image", "recipe", "part"])
def test_another_image_or_recipe_is_another_file(what, tmp_path):
    cached_features(Counting(), parts(), RECIPE, tmp_path)
    images = parts()
    if what == "image":
        images["test"][2, 2, 2, 2] += 1e-6
    if what == "part":
        images["more"] = images["test"]
    again = Counting()
    features = cached_features(again, images, f"{RECIPE}{what == 'recipe'}", tmp_path)
    assert again.shapes
    np.testing.assert_array_equal(features["test"], Counting()(images["test"]))
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("damage", ["cut", "flip", "empty"])
def test_a_damaged_file_is_worked_out_again_and_mended(damage, tmp_path):
    expected = cached_features(Counting(), parts(), RECIPE, tmp_path)
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    flipped = content[:-1] + bytes([content[-1] ^ 1])
    path.write_bytes({"cut": content[:-5], "flip": flipped, "empty": b""}[damage])
    again = Counting()
    features = cached_features(again, parts(), RECIPE, tmp_path)
    assert again.shapes
    np.testing.assert_array_equal(features["train"], expected["train"])
    assert path.read_bytes() == content


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match=r"features\.cache"):
        cached_features(Counting(), parts(), RECIPE, tmp_path / "file")
