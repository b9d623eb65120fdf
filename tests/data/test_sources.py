import hashlib
import zipfile
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
        ({"y_train": np.zeros((12, 1, 1), int)}, r"it must be \(12,\)"),
        ({"y_train": np.ones((12, 3), int)}, "row 0 is not one-hot"),
        ({"y_train": np.full((12, 2), "a")}, "dtype <U1"),
        ({"y_train": np.arange(12) % 3 + 1}, "no training sample has label 0"),
        ({"y_test": np.array([0, 1, 2, 0, 1, 9])}, r"has label 9.*classes = \[0, 1, 2\]"),
        (
            {"y_train": np.arange(12) % 2 * 5, "y_test": np.arange(6) % 2 * 5},
            r"labels are \[0, 5\], no sample has label 1; .*`data\.classes = \[0, 5\]`",
        ),
        ({"y_train": np.array([{}] * 12)}, r"`y_train` .*Python objects.*y_train\.astype\(int\)"),
        ({"x_test": np.float32(ARRAYS["x_test"])}, "x_test has features of 1 to 255.*scale both"),
        ({"x_val": ARRAYS["x_test"]}, "has `x_val` alone"),
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


def test_labels_may_be_a_column_or_one_hot_which_is_said(tmp_path):
    columns = {"y_train": ARRAYS["y_train"][:, None], "y_test": np.eye(3)[ARRAYS["y_test"]]}
    data = load_dataset("npz", path=str(write_npz(tmp_path / "a.npz", ARRAYS | columns)))
    np.testing.assert_array_equal(data.y_train, ARRAYS["y_train"])
    np.testing.assert_array_equal(data.y_test, ARRAYS["y_test"])
    assert [note.partition(": ")[2] for note in data.notes] == [
        "y_test is one-hot: column i is taken for label i"
    ]


def test_labels_with_gaps_are_renumbered_by_choosing_them(tmp_path):
    labels = {"y_train": np.arange(12) % 2 * 5 + 1, "y_test": np.arange(6) % 2 * 5 + 1}
    path = str(write_npz(tmp_path / "a.npz", ARRAYS | labels))
    data = load_dataset("npz", path=path, classes=(1, 6))
    assert (data.num_classes, data.class_names) == (2, ("1", "6"))
    assert data.y_train.tolist() == [0, 1] * 6


def test_medmnist_keys_bring_a_validation_part(tmp_path):
    """As in pneumoniamnist.npz: uint8 images, labels (n, 1)."""
    part = {
        "train": ("x_train", "y_train"),
        "val": ("x_test", "y_test"),
        "test": ("x_test", "y_test"),
    }
    arrays = {f"{p}_images": ARRAYS[x] for p, (x, _) in part.items()}
    arrays |= {f"{p}_labels": ARRAYS[y][:, None] for p, (_, y) in part.items()}
    data = load_dataset("npz", path=str(write_npz(tmp_path / "med.npz", arrays)), max_test=2)
    np.testing.assert_array_equal(data.x_train, np.float32(ARRAYS["x_train"]) / 255)
    np.testing.assert_array_equal(data.x_val, np.float32(ARRAYS["x_test"]) / 255)
    np.testing.assert_array_equal(data.y_val, ARRAYS["y_test"])
    assert len(data.y_test) == 2
    chosen = load_dataset("npz", path=str(tmp_path / "med.npz"), classes=(2,))
    np.testing.assert_array_equal(chosen.x_val, data.x_val[data.y_val == 2])


def test_channels_first_become_channels_last_which_is_said(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (18, 3, 6, 5), np.uint8)
    arrays = ARRAYS | {"x_train": x[:12], "x_test": x[12:]}
    data = load_dataset("npz", path=str(write_npz(tmp_path / "a.npz", arrays)))
    np.testing.assert_array_equal(data.x_test, np.float32(x[12:].transpose(0, 2, 3, 1)) / 255)
    assert data.notes[0].endswith(
        "images of shape (3, 6, 5) were turned to (6, 5, 3): channels come last"
    )


def test_parts_of_one_range_and_of_integers_and_fractions_agree(tmp_path):
    arrays = ARRAYS | {"x_test": np.float32(ARRAYS["x_test"]) / 255}
    data = load_dataset("npz", path=str(write_npz(tmp_path / "a.npz", arrays)))
    np.testing.assert_array_equal(data.x_test, np.float32(ARRAYS["x_test"]) / 255)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", b"x,y\n1,2\n", 'it is a table: use kind = "table"'),
        ("a.npz", b"\x93NUMPY\x01\x00", "it is one numpy array: store all of them in one file"),
        ("a.parquet", b"PAR1....PAR1", "it is a Parquet table"),
        ("a.pt", b"\x80\x02}q", "it is a Python pickle: store its arrays"),
        ("a.npz", b"", "get it again"),
    ],
)
def test_other_files_are_told_what_they_are(tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=said):
        load_dataset("npz", path=str(tmp_path / name))


def test_a_pytorch_file_is_told_what_it_is(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.pt", "w") as archive:
        archive.writestr("a/data.pkl", b"\x80\x02}q.")
    with pytest.raises(DataError, match="is a PyTorch file; store its tensors"):
        load_dataset("npz", path=str(tmp_path / "a.pt"))
