import hashlib
import io
import sys
import zipfile

import numpy as np
import pytest
from data_files import small_set, write_npz
from hypothesis import given, settings
from hypothesis import strategies as st

from fedket.data import unpacking
from fedket.data.npz import read_arrays, read_npz
from fedket.data.sources import load_dataset
from fedket.errors import DataError


def npz_bytes(**arrays):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


ARRAYS = small_set()
CONTENT = npz_bytes(**ARRAYS)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("order", ["C", "F"])
@settings(deadline=None, max_examples=5)
@given(seed=st.integers(0, 2**31 - 1))
def test_arrays_come_back_as_written(folder, dtype, order, seed):
    x = np.random.default_rng(seed).integers(0, 200, (12, 4, 3)).astype(dtype, order=order)
    raw = read_npz(write_npz(folder / "a.npz", ARRAYS | {"x_train": x, "extra": np.ones(2)}))
    assert raw.x_train.dtype == dtype
    np.testing.assert_array_equal(raw.x_train, x)
    np.testing.assert_array_equal(raw.y_test, ARRAYS["y_test"])
    assert raw.groups is None


@settings(deadline=None, max_examples=300)
@given(position=st.integers(0, len(CONTENT) - 1), flip=st.integers(1, 255))
def test_a_changed_byte_is_a_data_error_or_harmless(folder, position, flip):
    changed = bytearray(CONTENT)
    changed[position] ^= flip
    path = folder / "changed.npz"
    path.write_bytes(changed)
    try:
        raw = read_npz(path)
    except DataError:
        return
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(getattr(raw, name), array)


@pytest.mark.parametrize("length", [*range(0, len(CONTENT), 23), len(CONTENT) - 1])
def test_a_file_cut_anywhere_is_a_data_error(tmp_path, length):
    path = tmp_path / "cut.npz"
    path.write_bytes(CONTENT[:length])
    with pytest.raises(DataError, match=r"no readable \.npz file"):
        read_npz(path)


@settings(deadline=None, max_examples=100)
@given(garbage=st.binary(max_size=300))
def test_a_member_of_garbage_is_a_data_error(folder, garbage):
    path = folder / "garbage.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name in ARRAYS:
            archive.writestr(f"{name}.npy", b"\x93NUMPY\x01\x00" + garbage)
    with pytest.raises(DataError):
        read_npz(path)


def test_bytes_after_an_array_are_a_data_error(tmp_path):
    path = write_npz(tmp_path / "a.npz", ARRAYS)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content + b"more")
    with pytest.raises(DataError, match="goes on"):
        read_npz(path)


@pytest.mark.parametrize("read", [read_npz, read_arrays])
def test_a_file_that_grows_beyond_all_bounds_is_refused_before_it_is_unpacked(read, tmp_path):
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in ARRAYS.items():
            with archive.open(f"{name}.npy", "w") as member:
                np.lib.format.write_array(member, array)
        archive.infolist()[0].file_size = 2**30
    with pytest.raises(
        DataError, match=r"unpacks to 10737\d+ bytes, 268435456 are .*savez"
    ) as error:
        read(path)
    assert "\n" not in str(error.value)


def test_a_file_may_grow_a_hundred_times(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "ALWAYS", 2**16)
    zeros = {"x_train": np.zeros((2**12, 4, 3), np.uint8), "y_train": np.arange(2**12) % 2}
    path = write_npz(tmp_path / "zeros.npz", ARRAYS | zeros)
    assert read_npz(path).x_train.shape == (2**12, 4, 3)
    more = {"x_train": np.zeros((2**18, 4, 3), np.uint8)}
    with pytest.raises(DataError, match="100 times its size"):
        read_npz(write_npz(tmp_path / "bomb.npz", ARRAYS | more))


def test_pickled_objects_are_refused(tmp_path):
    path = write_npz(tmp_path / "a.npz", ARRAYS | {"x_train": np.array([{}], dtype=object)})
    with pytest.raises(DataError, match="holds Python objects"):
        read_npz(path)


def test_weights_are_no_data_set(tmp_path):
    path = write_npz(tmp_path / "w.npz", {f"layer{i}/kernel": np.ones(2) for i in range(9)})
    with pytest.raises(DataError, match=r"found 9 arrays .layer0/kernel.* needed are x_train"):
        read_npz(path)


def test_the_checksum_decides(tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(CONTENT)
    right = hashlib.sha256(CONTENT).hexdigest()
    assert len(read_npz(path, right).x_train) == 12
    with pytest.raises(DataError, match=f"has sha256 {right}, expected 000"):
        read_npz(path, "0" * 64)


@pytest.mark.parametrize("name", ["group_train", "subject_train", "group", "subject"])
def test_owners_of_training_samples_are_kept(tmp_path, name):
    owners = np.repeat([7, 8, 9], 4).astype(np.int16)
    path = write_npz(tmp_path / "a.npz", ARRAYS | {name: owners})
    data = load_dataset("npz", path=str(path), classes=(1, 2), max_train=5)
    np.testing.assert_array_equal(data.groups, owners[ARRAYS["y_train"] > 0][:5])
    assert data.groups.dtype == np.int64


@pytest.mark.parametrize("flag", ["is_test", "is_subject_test"])
@pytest.mark.parametrize("names", [np.arange(4), np.array(["a", "b", "c", "d"])])
def test_flags_split_samples_and_never_owners(tmp_path, flag, names):
    x, y = np.arange(24.0).reshape(12, 2), np.arange(12) % 2
    owner, test = names[np.arange(12) // 3], np.arange(12) >= 9
    arrays = {"x": x, "y": y, flag: test, "subject": owner}
    raw = read_npz(write_npz(tmp_path / "a.npz", arrays))
    np.testing.assert_array_equal(raw.x_train, x[:9])
    np.testing.assert_array_equal(raw.x_test, x[9:])
    assert set(raw.groups.tolist()) == set(names[:3].tolist())
    test[8] = True
    with pytest.raises(DataError, match=f"group {names[2]} has training and test samples"):
        read_npz(write_npz(tmp_path / "leak.npz", arrays))


@pytest.mark.parametrize(
    "change",
    [
        {"is_test": np.arange(6)},
        {"is_test": np.zeros(5, bool)},
        {"x": np.zeros((5, 2))},
        {"group": np.zeros(7, int)},
        {"x": np.float64(3)},
        {"y": np.zeros((6, 2))},
    ],
)
def test_flags_that_do_not_fit_are_data_errors(tmp_path, change):
    arrays = {"x": np.zeros((6, 2)), "y": np.arange(6) % 2, "is_test": np.arange(6) > 3}
    path = write_npz(tmp_path / "a.npz", arrays | change)
    with pytest.raises(DataError, match=r"a\.npz"):
        load_dataset("npz", path=str(path))


def jpegs(images):
    image_module = pytest.importorskip("PIL.Image", reason="Pillow writes the JPEG files")
    files = []
    for image in images:
        file = io.BytesIO()
        image_module.fromarray(image).save(file, "JPEG", quality=95)
        files.append(file.getvalue())
    offsets = np.cumsum([0, *map(len, files)])
    return np.frombuffer(b"".join(files), np.uint8), offsets


@pytest.fixture
def jpeg_arrays():
    images = (
        np.full((3, 8, 6, 3), 50, np.uint8) * np.arange(1, 4, dtype=np.uint8)[:, None, None, None]
    )
    data, offsets = jpegs(images)
    return {
        "jpeg_train": data,
        "offset_train": offsets,
        "y_train": np.arange(3),
        "jpeg_test": data[: offsets[1]],
        "offset_test": offsets[:2],
        "y_test": np.arange(1),
    }


def test_jpeg_images_are_decoded_in_order(tmp_path, jpeg_arrays):
    raw = read_npz(write_npz(tmp_path / "a.npz", jpeg_arrays))
    assert raw.x_train.shape == (3, 8, 6, 3)
    np.testing.assert_allclose(raw.x_train.mean(axis=(1, 2, 3)), [50, 100, 150], atol=2)
    np.testing.assert_array_equal(raw.x_test, raw.x_train[:1])


@pytest.mark.parametrize(
    "offsets", [[0], [0, 5, 3, 9], [-1, 2, 3, 4], [0, 0, 1, 2], [0, 1, 2, 10**9]]
)
def test_wrong_offsets_are_data_errors(tmp_path, jpeg_arrays, offsets):
    arrays = jpeg_arrays | {"offset_train": np.array(offsets)}
    with pytest.raises(DataError, match="offsets must"):
        read_npz(write_npz(tmp_path / "a.npz", arrays))


def test_a_damaged_or_odd_image_is_named(tmp_path, jpeg_arrays):
    data, offsets = jpeg_arrays["jpeg_train"].copy(), jpeg_arrays["offset_train"]
    data[offsets[1] : offsets[1] + 40] = 0
    with pytest.raises(DataError, match="image 1 is no readable JPEG"):
        read_npz(write_npz(tmp_path / "a.npz", jpeg_arrays | {"jpeg_train": data}))
    odd, bounds = jpegs([np.zeros((8, 6, 3), np.uint8), np.zeros((8, 7, 3), np.uint8)])
    arrays = jpeg_arrays | {"jpeg_train": odd, "offset_train": bounds}
    with pytest.raises(DataError, match="image 1 has shape"):
        read_npz(write_npz(tmp_path / "b.npz", arrays))


def test_without_pillow_the_message_says_so(tmp_path, jpeg_arrays, monkeypatch):
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(DataError, match=r"pip install .fedket\[vision\]"):
        read_npz(write_npz(tmp_path / "a.npz", jpeg_arrays))
