import hashlib
from pathlib import Path

import numpy as np
import pytest
from data_files import FILES, small_set, write_image_set, write_npz
from hypothesis import given, settings
from hypothesis import strategies as st

from fedket.data import originals
from fedket.data.originals import FASHION_MNIST
from fedket.data.sources import data_directory, load_dataset
from fedket.errors import DataError

ARRAYS = small_set()


def test_digits_keep_class_shares_and_lose_no_sample():
    from sklearn.datasets import load_digits

    data = load_dataset("digits")
    original = load_digits()
    assert (data.name, data.num_classes, data.groups) == ("digits", 10, None)
    assert data.x_train.shape == (1442, 8, 8)
    assert data.x_test.shape == (355, 8, 8)
    assert data.x_train.dtype == data.x_test.dtype == np.float32
    assert data.y_train.dtype == data.y_test.dtype == np.int32
    counts = np.bincount(original.target)
    assert np.bincount(data.y_test).tolist() == (counts // 5).tolist()
    rows = np.concatenate([data.x_train, data.x_test]).reshape(-1, 64) * 16
    labels = np.concatenate([data.y_train, data.y_test])
    assert sorted(np.c_[rows, labels].tolist()) == sorted(
        np.c_[original.data, original.target].tolist()
    )


@pytest.mark.parametrize("where", ["subfolder", "folder", "npz"])
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_image_sets_are_found_in_every_documented_place(tmp_path, name, where):
    if where == "npz":
        write_npz(tmp_path / f"{name}.npz", ARRAYS)
    else:
        write_image_set(tmp_path / name if where == "subfolder" else tmp_path, ARRAYS)
    data = load_dataset(name, directory=str(tmp_path))
    assert (data.name, data.num_classes) == (name, 3)
    np.testing.assert_array_equal(data.x_train, np.float32(ARRAYS["x_train"]) / 255)
    np.testing.assert_array_equal(data.y_test, ARRAYS["y_test"])


def test_files_of_the_other_set_are_passed_over(tmp_path, monkeypatch):
    """Both sets use the same file names, so only the labels tell whose a bare folder is."""
    write_image_set(tmp_path, ARRAYS)
    labels = (tmp_path / FILES["y_train"]).read_bytes()
    checksums = FASHION_MNIST.sha256 | {FILES["y_train"]: hashlib.sha256(labels).hexdigest()}
    monkeypatch.setattr(originals, "FASHION_MNIST", FASHION_MNIST._replace(sha256=checksums))
    other = small_set(seed=1)
    write_npz(tmp_path / "mnist.npz", other)
    data = load_dataset("mnist", directory=str(tmp_path))
    np.testing.assert_array_equal(data.x_train, np.float32(other["x_train"]) / 255)


@pytest.mark.parametrize("file_name", FILES.values())
def test_a_damaged_file_among_four_is_named(tmp_path, file_name):
    write_image_set(tmp_path, ARRAYS)
    path = tmp_path / file_name
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=f"{file_name} is damaged"):
        load_dataset("mnist", directory=str(tmp_path))


def test_the_directory_is_argument_then_environment_then_cache(monkeypatch):
    monkeypatch.setenv("FEDKET_DATA", "/from/environment")
    assert data_directory("/from/argument") == Path("/from/argument")
    assert data_directory() == Path("/from/environment")
    monkeypatch.setenv("FEDKET_DATA", "")
    assert data_directory().name == "fedket"


@settings(deadline=None, max_examples=30)
@given(
    classes=st.permutations([0, 1, 2]).flatmap(
        lambda order: st.integers(1, 3).map(lambda size: tuple(order[:size]))
    ),
    max_train=st.integers(0, 15),
    max_test=st.integers(0, 8),
)
def test_a_selection_is_a_relabelled_prefix(folder, classes, max_train, max_test):
    path = write_npz(folder / "a.npz", ARRAYS)
    whole = load_dataset("npz", path=str(path))
    data = load_dataset(
        "npz", path=str(path), classes=classes, max_train=max_train, max_test=max_test
    )
    assert data.num_classes == len(classes)
    for part, limit in (("train", max_train), ("test", max_test)):
        x, y = getattr(whole, f"x_{part}"), getattr(whole, f"y_{part}")
        kept = np.flatnonzero(np.isin(y, classes))[: limit or None]
        np.testing.assert_array_equal(getattr(data, f"x_{part}"), x[kept])
        assert [classes[new] for new in getattr(data, f"y_{part}")] == y[kept].tolist()


def test_an_npz_is_found_by_path_and_by_name(tmp_path, monkeypatch):
    path = write_npz(tmp_path / "mine.npz", ARRAYS)
    monkeypatch.setenv("FEDKET_DATA", str(tmp_path))
    assert load_dataset("npz", path="mine.npz").name == "mine"
    assert load_dataset("npz", path=str(path), directory="/nowhere").name == "mine"
    with pytest.raises(DataError, match=r"no file at other\.npz and .*/other\.npz"):
        load_dataset("npz", path="other.npz")
    with pytest.raises(DataError, match="no file at"):
        load_dataset("npz", path=str(tmp_path))
    with pytest.raises(DataError, match=r"cannot be read|no file at"):
        load_dataset("npz", path="x" * 5000)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "minst"}, "unknown data set `minst`; known are digits, mnist"),
        ({"name": "digits", "path": "a.npz"}, "belong to data set `npz`"),
        ({"name": "mnist", "sha256": "0" * 64}, "belong to data set `npz`"),
        ({"name": "npz"}, "needs `path`"),
        ({"name": "digits", "classes": (3, 11)}, "no class 11; the classes present are 0, 1, 2"),
        ({"name": "digits", "classes": (3, 3)}, "name a class twice"),
        ({"name": "digits", "max_train": -1}, "must be 0 .all. or more, got -1"),
    ],
)
def test_a_wrong_request_says_what_to_do(arguments, message):
    with pytest.raises(DataError, match=message) as error:
        load_dataset(**arguments)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_train": np.zeros(11, int)}, r"y_train has shape \(11,\) for 12 samples"),
        ({"y_train": np.zeros((12, 1), int)}, r"it must be \(12,\)"),
        ({"x_test": np.zeros((6, 4, 4), np.uint8)}, r"x_train has samples of shape \(4, 3\)"),
        ({"x_test": np.zeros((0, 4, 3), np.uint8)}, "not empty"),
        ({"x_train": np.zeros(12), "x_test": np.zeros(6)}, "not empty"),
        ({"x_train": np.float64(1)}, "samples of shape|must be"),
        ({"y_test": np.array([0, 1, -1, 0, 1, 2])}, "label -1"),
        ({"y_test": np.array([0, 1, 0.5, 0, 1, 2])}, "y_test holds 0.5"),
        ({"y_test": np.array([0, 1, np.nan, 0, 1, 2])}, "y_test holds nan"),
        ({"y_test": np.array([0, 1, np.inf, 0, 1, 2])}, "label inf"),
        ({"y_test": np.array([0, 1, 2**63, 0, 1, 2], np.uint64)}, "label 9223372036854775808"),
        ({"y_test": np.array(list("abcabc"))}, "dtype <U1"),
        ({"y_test": np.array([0, 1, 10**9, 0, 1, 2])}, "largest label is 1000000000"),
        ({"x_train": np.full((12, 4, 3), np.nan)}, r"x_train\[0\] holds NaN"),
        ({"x_train": np.zeros((12, 4, 3), np.int32)}, "x_train has dtype int32"),
        ({"group_train": np.zeros(11, int)}, "group ids have shape"),
        ({"group_train": np.zeros(12)}, "dtype float64"),
    ],
)
def test_inconsistent_arrays_are_data_errors(tmp_path, change, message):
    path = write_npz(tmp_path / "a.npz", ARRAYS | change)
    with pytest.raises(DataError, match=message) as error:
        load_dataset("npz", path=str(path))
    assert "a.npz" in str(error.value)
    assert "\n" not in str(error.value)


def test_classes_absent_from_the_test_part_leave_nothing_to_test(tmp_path):
    path = write_npz(tmp_path / "a.npz", ARRAYS | {"y_test": np.zeros(6, int)})
    with pytest.raises(DataError, match=r"no test sample has a label in \(1, 2\)"):
        load_dataset("npz", path=str(path), classes=(1, 2))


def test_labels_may_be_whole_floats_and_booleans(tmp_path):
    labels = {"y_train": np.arange(12) % 2 == 1, "y_test": np.array([0.0, 1, 0, 1, 0, 1])}
    data = load_dataset("npz", path=str(write_npz(tmp_path / "a.npz", ARRAYS | labels)))
    assert data.y_train.tolist() == [0, 1] * 6
    assert data.y_test.tolist() == [0, 1] * 3
