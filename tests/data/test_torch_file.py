"""PyTorch's files hold tensors and nothing else; what they would run is never run."""

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from fedket.data.torch_file import MAGIC, read_torch
from fedket.errors import DataError

GOLDEN = Path(__file__).parent / "golden"
FORMATS = ("torch_archive.pth", "torch_sequence.pth")

# Both files were written by PyTorch 2.13: torch.save of an OrderedDict of these tensors, the second
# with _use_new_zipfile_serialization=False. `view` shares the storage of `plain`.
PLAIN = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
EXPECTED = {
    "plain": PLAIN,
    "view": PLAIN[1:, :, ::2].swapaxes(0, 1),
    "half": (np.arange(6) / 4).astype(np.float16),
    "scalar": np.array(7),
    "parameter": np.full((2, 2), 0.5),
}


@pytest.mark.parametrize("name", FORMATS)
def test_tensors_come_back_as_pytorch_wrote_them(name):
    found = read_torch(GOLDEN / name)
    assert list(found) == list(EXPECTED)
    for key, expected in EXPECTED.items():
        assert found[key].dtype == expected.dtype
        np.testing.assert_array_equal(found[key], expected)


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_cut_anywhere_is_refused_by_name(name, tmp_path):
    content = (GOLDEN / name).read_bytes()
    path = tmp_path / name
    for length in range(0, len(content) - 1, 61):
        path.write_bytes(content[:length])
        with pytest.raises(DataError) as error:
            read_torch(path)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)


class Evil:
    """Pickles as a call that leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def archive_of(path, state, entries=()):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", state if isinstance(state, bytes) else dumps(state))
        for name, content in entries:
            archive.writestr(f"model/{name}", content)
    return path


def dumps(value):
    return pickle.dumps(value, protocol=2)


@pytest.mark.parametrize("old", [False, True])
def test_a_call_in_a_file_is_refused_and_not_made(old, tmp_path):
    touched = tmp_path / "touched"
    path = tmp_path / "evil.pth"
    state = {"weight": Evil(touched)}
    if old:
        path.write_bytes(b"".join(map(dumps, (MAGIC, 1001, {"little_endian": True}, state))))
    else:
        archive_of(path, state)
    with pytest.raises(DataError, match=r"asks for `.*`, which is no tensor"):
        read_torch(path)
    assert not touched.exists()
    pickle.loads(dumps(Evil(touched)))  # noqa: S301
    assert touched.exists()  # with a plain unpickler it would have been made


class WithStorages(pickle.Pickler):
    """Writes tuples that begin with "storage" as PyTorch's persistent ids, classes by name."""

    def persistent_id(self, obj):
        return obj if isinstance(obj, tuple) and obj[:1] == ("storage",) else None


def tensor_archive(path, content, **changes):
    """An archive of one tensor as PyTorch describes it, with some of the description changed."""
    numbers = {"offset": 0, "shape": (2, 3), "strides": (3, 1), "length": 6} | changes
    storage = ("storage", Named("torch", "FloatStorage"), "0", "cpu", numbers["length"])
    tensor = Rebuilt(storage, numbers["offset"], numbers["shape"], numbers["strides"])
    buffer = io.BytesIO()
    WithStorages(buffer, protocol=2).dump({"weight": tensor})
    # Pickle checks names when it writes, so stand-ins were written: rename them.
    state = buffer.getvalue().replace(*RENAME_TENSOR).replace(*RENAME_STORAGE)
    return archive_of(path, state, [("data/0", content)])


class FloatStorage:
    """Stands for torch.FloatStorage."""


def rebuild(*_):
    """Stands for torch._utils._rebuild_tensor_v2."""


RENAME_STORAGE = (
    f"c{__name__}\nFloatStorage\n".encode(),
    b"ctorch\nFloatStorage\n",
)
RENAME_TENSOR = (f"c{__name__}\nrebuild\n".encode(), b"ctorch._utils\n_rebuild_tensor_v2\n")


def Named(_module, _name):  # noqa: N802 - reads as a class above
    return FloatStorage


class Rebuilt:
    def __init__(self, *args):
        self.args = args

    def __reduce__(self):
        return rebuild, (*self.args, False, {})


def test_an_archive_that_grows_beyond_all_bounds_is_refused(tmp_path):
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model/data.pkl", dumps({}))
        archive.infolist()[0].file_size = 2**30
    with pytest.raises(DataError, match="unpacks to 1073741824 bytes, 268435456 are allowed"):
        read_torch(path)


@pytest.mark.parametrize("old", [False, True])
def test_a_few_bytes_that_ask_for_gigabytes_are_refused(old, tmp_path):
    # The unpickler makes room for as many entries as the highest number that it is to remember.
    path, few = tmp_path / "bomb.pth", b"\x80\x02}r" + (10**7).to_bytes(4, "little") + b"."
    if old:
        path.write_bytes(few)
    else:
        archive_of(path, few)
    with pytest.raises(DataError, match="numbers its objects"):
        read_torch(path)


NESTED = {
    "remembered": b"\x80\x02}" + b")" + b"q\x00h\x00h\x00\x86" * 60 + b"K\x01s.",
    "doubled": b"\x80\x02}" + b")" + b"2\x86" * 60 + b"K\x01s.",
    "listed": b"\x80\x02}" + b")" + (b"q\x00(" + b"h\x00" * 20 + b"t") * 30 + b"K\x01s.",
}


@pytest.mark.parametrize("content", NESTED.values(), ids=NESTED)
def test_tuples_of_tuples_that_take_for_ever_to_hash_are_refused(content, tmp_path):
    path = tmp_path / "bomb.pth"
    path.write_bytes(content)
    with pytest.raises(DataError, match="parts is in no tensor"):
        read_torch(path)


SIX = np.arange(6, dtype="<f4").tobytes()


def test_a_tensor_written_by_hand_is_read(tmp_path):
    found = read_torch(tensor_archive(tmp_path / "a.pth", SIX))
    np.testing.assert_array_equal(found["weight"], np.arange(6.0).reshape(2, 3))


@pytest.mark.parametrize(
    ("content", "changes", "message"),
    [
        (SIX[:-4], {}, "truncated: storage 0 has 20 of 24 bytes"),
        (SIX, {"shape": (3, 3)}, "reaches beyond storage 0"),
        (SIX, {"offset": 1}, "reaches beyond storage 0"),
        (SIX, {"offset": -1}, "reaches beyond storage 0"),
        (SIX, {"strides": (-3, 1), "offset": 3}, "reaches beyond storage 0"),
        (SIX, {"shape": (2**40, 2**40), "strides": (0, 0)}, "reaches beyond storage 0"),
        (SIX, {"strides": (1,)}, "has strides"),
        (SIX, {"shape": (2.0, 3)}, "by a storage and integers"),
        (SIX, {"length": -6}, "a storage is not described"),
    ],
)
def test_a_tensor_may_not_look_outside_its_storage(content, changes, message, tmp_path):
    path = tensor_archive(tmp_path / "a.pth", content, **changes)
    with pytest.raises(DataError, match=message):
        read_torch(path)


def test_other_files_are_told_what_is_expected(tmp_path):
    path = tmp_path / "a.pth"
    path.write_bytes(dumps({"weight": 1}))
    with pytest.raises(DataError, match="no PyTorch file"):
        read_torch(path)
    with pytest.raises(DataError, match=r"more than tensors by name; save .*state_dict"):
        read_torch(archive_of(path, {"epoch": 3}))
    with pytest.raises(DataError, match="big-endian"):
        read_torch(archive_of(path, {}, [("byteorder", b"big")]))
    with pytest.raises(DataError, match="No such file"):
        read_torch(tmp_path / "absent.pth")
