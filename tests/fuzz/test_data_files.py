"""Data files that are damaged, or made by somebody who means harm, are refused in one line."""

import gzip
import io
import struct
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st

from fedket.data.idx import read_idx
from fedket.data.image_files import FORMATS
from fedket.data.image_folder import read_image_folder
from fedket.data.npz import read_arrays
from fedket.data.pretrained import read_weights
from fedket.data.sources import load_dataset
from tests.fuzz.garbage import Garbage, refused

SEEDS = st.integers(0, 2**63 - 1)
GOLDEN = Path(__file__).parents[1] / "data" / "golden"

x, y = np.arange(48.0).reshape(12, 2, 2), np.arange(12) % 3
ARRAYS = {"x_train": x, "y_train": y, "x_test": x[:4], "y_test": y[:4], "group_train": y}
IDX = bytes((0, 0, 8, 3)) + struct.pack(">3I", 3, 4, 5) + bytes(60)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


def npz(arrays, write=np.savez):
    file = io.BytesIO()
    write(file, **arrays)
    return file.getvalue()


def bent_arrays(garbage):
    """True arrays, one of which is another one."""
    name = garbage.choice(list(ARRAYS))
    shape = [garbage.choice((0, 1, 4, 12)) for _ in range(garbage.randrange(4))]
    dtype = garbage.choice(("?", "i1", "u8", "f2", "f8", "c8", "M8[s]", "S3", "U2", "V4", "i4,f8"))
    array = np.frombuffer(garbage.randbytes(32 * int(np.prod(shape)) + 32), np.uint8)
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    with np.errstate(all="ignore"):
        return ARRAYS | {name: array[:size].view(dtype).reshape(shape)}


@given(seed=SEEDS)
def test_npz(folder, seed):
    garbage, path = Garbage(seed), folder / "data.npz"
    write = garbage.choice((np.savez, np.savez_compressed))
    content = npz(bent_arrays(garbage) if seed % 2 else ARRAYS, write)
    path.write_bytes(content if seed % 2 else garbage.content(content))
    with refused():
        load_dataset("npz", path=str(path))
    with refused():
        read_arrays(path)


@given(seed=SEEDS)
def test_idx(folder, seed):
    garbage, path = Garbage(seed), folder / "images.gz"
    packed = gzip.compress(IDX, mtime=0)
    path.write_bytes(
        garbage.content(packed) if seed % 2 else gzip.compress(garbage.content(IDX), 1, mtime=0)
    )
    with refused():
        read_idx(path, num_axes=3)


@pytest.mark.parametrize("name", ["torch_archive.pth", "torch_sequence.pth"])
@given(seed=SEEDS)
def test_torch_files(folder, name, seed):
    path = folder / name
    path.write_bytes(Garbage(seed).content((GOLDEN / name).read_bytes()))
    with refused():
        read_weights(path)


@given(seed=SEEDS)
def test_safetensors(folder, seed):
    garbage, path = Garbage(seed), folder / "weights.safetensors"
    content = safetensors.numpy.save({"conv.weight": x, "conv.bias": y}, {"format": "pt"})
    length = int.from_bytes(content[:8], "little")
    if seed % 2:
        header = garbage.json(content[8 : 8 + length])
        content = len(header).to_bytes(8, "little") + header + content[8 + length :]
    else:
        content = garbage.content(content)
    path.write_bytes(content)
    with refused():
        read_weights(path)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", FORMATS)
@given(seed=SEEDS)
def test_image_folders(folder, kind, seed):
    image = pytest.importorskip("PIL.Image", reason="Pillow reads the images")
    pixels = np.arange(192, dtype=np.uint8).reshape(8, 8, 3)
    for name in ("cat", "dog"):
        (folder / kind / name).mkdir(parents=True, exist_ok=True)
        for number in range(2):
            file = io.BytesIO()
            image.fromarray(pixels).save(file, kind)
            content = file.getvalue()
            if (name, number) == ("dog", 1):
                content = Garbage(seed).content(content)
            (folder / kind / name / f"{number}.png").write_bytes(content)
    with refused():
        read_image_folder(folder / kind)
