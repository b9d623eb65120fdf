"""Facts about the real data files, from the README.md that describes how they were made."""

import numpy as np
import pytest

from fedket.data.partition import by_group
from fedket.data.sources import load_dataset
from fedket.errors import DataError

# name -> feature shape, training and test samples of each class
FACTS = {
    "cifar10_planes_cars": ((32, 32, 3), [5000, 5000], [1000, 1000]),
    "cats_vs_dogs_64": ((64, 64, 3), [1000, 1000], [250, 250]),
    "cats_vs_dogs_96_jpeg": ((96, 96, 3), [2000, 2000], [500, 500]),
    "alzheimer_mri_64": ((64, 64), [2560, 1792, 704, 32], [640, 448, 192, 32]),
}
SHA256 = {
    "cats_vs_dogs_64": "d81cc47e5f88c1e5fb6233f4c6dd9691eb900bf489b786535d55ddd4bdd78830",
    "alzheimer_mri_64": "eb19b94638a5668f23c35cde257ce1429d56788aa9d3809a9b11dc7dedbf01f7",
}


def require(folder, name):
    if not (folder / name).is_file():
        pytest.skip(f"{folder} has no {name}")


@pytest.mark.parametrize(
    "name",
    [  # the large ones take seconds; parts of them are read below
        pytest.param(name, marks=[pytest.mark.long] * (name.endswith(("_cars", "_jpeg"))))
        for name in FACTS
    ],
)
def test_npz_files_hold_what_their_description_says(shared_data, name):
    require(shared_data, f"{name}.npz")
    if name.endswith("_jpeg"):
        pytest.importorskip("PIL", reason="Pillow decodes the JPEG images")
    data = load_dataset(
        "npz", path=f"{name}.npz", directory=str(shared_data), sha256=SHA256.get(name, "")
    )
    shape, train, test = FACTS[name]
    assert (data.name, data.num_classes) == (name, len(train))
    assert data.x_train.shape[1:] == data.x_test.shape[1:] == shape
    assert np.bincount(data.y_train).tolist() == train
    assert np.bincount(data.y_test).tolist() == test
    assert data.x_train.dtype == np.float32
    assert 0 <= data.x_train.min() < data.x_train.max() <= 1


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("cats_vs_dogs_64", "cats_vs_dogs_64"),
        ("cats_vs_dogs", "cats_vs_dogs_96_jpeg"),
        ("planes_cars", "cifar10_planes_cars"),
    ],
)
def test_packed_sets_have_names(shared_data, name, file):
    require(shared_data, f"{file}.npz")
    if file.endswith("_jpeg"):
        pytest.importorskip("PIL", reason="Pillow decodes the JPEG images")
    directory = str(shared_data)
    named = load_dataset(name, directory=directory, max_train=40, max_test=10)
    same = load_dataset("npz", path=f"{file}.npz", directory=directory, max_train=40, max_test=10)
    assert named.name == name
    np.testing.assert_array_equal(named.x_train, same.x_train)
    np.testing.assert_array_equal(named.y_test, same.y_test)


# MNIST: yann.lecun.com/exdb/mnist; Fashion-MNIST: arXiv:1708.07747, balanced. The pixel mean and
# deviation are the well-known normalisation constants of both sets.
@pytest.mark.parametrize(
    ("name", "first_labels", "mean", "deviation"),
    [
        ("mnist", [5, 0, 4, 1, 9, 2, 1, 3, 1, 4], 0.1307, 0.3081),
        ("fashion_mnist", [9, 0, 0, 3, 0, 2, 7, 2, 5, 5], 0.2860, 0.3530),
    ],
)
def test_image_sets_are_the_published_ones(shared_data, name, first_labels, mean, deviation):
    require(shared_data, f"{name}.npz")
    data = load_dataset(name, directory=str(shared_data))
    assert data.x_train.shape == (60_000, 28, 28)
    assert data.x_test.shape == (10_000, 28, 28)
    assert data.y_train[:10].tolist() == first_labels
    assert abs(float(data.x_train.mean(dtype=np.float64)) - mean) < 1e-4
    assert abs(float(data.x_train[:20_000].std()) - deviation) < 5e-3


def test_subjects_of_the_mri_set_can_be_dealt_to_clients(shared_data):
    require(shared_data, "alzheimer_mri_64.npz")
    data = load_dataset("npz", path="alzheimer_mri_64.npz", directory=str(shared_data))
    subjects, slices = np.unique(data.groups, return_counts=True)
    assert len(subjects) == 159
    assert set(slices.tolist()) == {32}
    parts = by_group(data.groups, num_clients=10, rng=np.random.default_rng(0))
    assert sorted({len(part) for part in parts}) == [15 * 32, 16 * 32]


def test_the_mri_set_by_name_keeps_test_subjects_apart_and_merges_the_smallest_class(shared_data):
    require(shared_data, "alzheimer_mri_64.npz")
    whole = load_dataset("alzheimer_mri", directory=str(shared_data))
    merged = load_dataset("alzheimer_mri", directory=str(shared_data), merge=((3, 2),))
    dropped = load_dataset("alzheimer_mri", directory=str(shared_data), classes=(0, 1, 2))
    assert (whole.num_classes, merged.num_classes, dropped.num_classes) == (4, 3, 3)
    assert np.bincount(merged.y_train).tolist() == [2560, 1792, 736]
    assert np.bincount(merged.y_test).tolist() == [640, 448, 224]
    assert np.bincount(dropped.y_train).tolist() == [2560, 1792, 704]
    with np.load(shared_data / "alzheimer_mri_64.npz") as arrays:
        test_subjects = np.unique(arrays["subject"][arrays["is_subject_test"]])
    assert not np.isin(whole.groups, test_subjects).any()


@pytest.mark.parametrize(
    "name", ["ntangled_weights", "mobilenet_v2_features_f16", "vgg16_block1_2_f32"]
)
def test_weights_are_refused_by_name(shared_data, name):
    require(shared_data, f"{name}.npz")
    with pytest.raises(DataError, match=rf"{name}\.npz is no data set: found \d+ arrays"):
        load_dataset("npz", path=f"{name}.npz", directory=str(shared_data))
