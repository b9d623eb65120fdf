import gzip

import numpy as np
import pytest
from data_files import IDX_CODES, idx_bytes
from hypothesis import given, settings
from hypothesis import strategies as st

from fedket.data import unpacking
from fedket.data.idx import read_idx
from fedket.errors import DataError

IMAGES = gzip.compress(idx_bytes(np.arange(60, dtype=np.uint8).reshape(5, 4, 3)), mtime=0)


@pytest.mark.parametrize("dtype", IDX_CODES)
@pytest.mark.parametrize("shape", [(5,), (0,), (2, 3), (2, 3, 4)])
@settings(deadline=None, max_examples=5)
@given(seed=st.integers(0, 2**31 - 1))
def test_what_is_written_is_read(folder, dtype, shape, seed):
    array = np.random.default_rng(seed).integers(0, 100, shape).astype(dtype)
    path = folder / "array.gz"
    path.write_bytes(gzip.compress(idx_bytes(array)))
    read = read_idx(path, num_axes=len(shape))
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)


@pytest.mark.parametrize("length", range(len(IMAGES)))
def test_a_file_cut_anywhere_is_a_data_error(tmp_path, length):
    path = tmp_path / "cut.gz"
    path.write_bytes(IMAGES[:length])
    with pytest.raises(DataError, match="damaged"):
        read_idx(path, num_axes=3)


@settings(deadline=None, max_examples=200)
@given(position=st.integers(0, len(IMAGES) - 1), flip=st.integers(1, 255))
def test_a_changed_byte_is_a_data_error_or_harmless(folder, position, flip):
    changed = bytearray(IMAGES)
    changed[position] ^= flip
    path = folder / "changed.gz"
    path.write_bytes(changed)
    try:
        read = read_idx(path, num_axes=3)
    except DataError:
        return
    np.testing.assert_array_equal(read, np.arange(60).reshape(5, 4, 3))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "starts with nothing"),
        (b"\x89PNG....", "no idx magic number"),
        (b"\0\0\x07\x03" + bytes(12), "no idx magic number"),
        (idx_bytes(np.zeros((2, 2), np.uint8)), "2 axes where 3"),
        (b"\0\0\x08\x03" + bytes(5), "ends within its header"),
        (idx_bytes(np.zeros((2, 2, 2), np.uint8)) + b"!", "needs 8 bytes, got 9"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "got 0"),
    ],
)
def test_the_message_says_what_is_wrong(tmp_path, content, message):
    path = tmp_path / "bad.gz"
    path.write_bytes(gzip.compress(content))
    with pytest.raises(DataError, match=message) as error:
        read_idx(path, num_axes=3)
    assert str(path) in str(error.value)


def test_a_file_that_grows_beyond_all_bounds_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "ALWAYS", 2**16)
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(idx_bytes(np.zeros(2**20, np.uint8))))
    with pytest.raises(DataError, match=r"unpacks to more, 1\d+ are allowed .100 times its size"):
        read_idx(path, num_axes=1)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nowhere\.gz does not exist"):
        read_idx(tmp_path / "nowhere.gz", num_axes=3)
