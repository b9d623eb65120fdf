"""Small data files for the tests of this folder."""

import gzip
import struct
from pathlib import Path

import numpy as np

FILES = {
    "x_train": "train-images-idx3-ubyte.gz",
    "y_train": "train-labels-idx1-ubyte.gz",
    "x_test": "t10k-images-idx3-ubyte.gz",
    "y_test": "t10k-labels-idx1-ubyte.gz",
}
IDX_CODES = {"u1": 0x08, "i1": 0x09, "i2": 0x0B, "i4": 0x0C, "f4": 0x0D, "f8": 0x0E}


def idx_bytes(array: np.ndarray) -> bytes:
    """The idx format, written from its description."""
    code = IDX_CODES[array.dtype.str[1:]]
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


def small_set(num_train: int = 12, num_test: int = 6, seed: int = 0) -> dict[str, np.ndarray]:
    """Images of 4x3 and labels 0, 1, 2, every class present in both parts."""
    rng = np.random.default_rng(seed)

    def part(size: int) -> tuple[np.ndarray, np.ndarray]:
        x = rng.integers(0, 256, (size, 4, 3), dtype=np.uint8)
        return x, (np.arange(size) % 3).astype(np.uint8)

    (x_train, y_train), (x_test, y_test) = part(num_train), part(num_test)
    return {"x_train": x_train, "y_train": y_train, "x_test": x_test, "y_test": y_test}


def write_image_set(folder: Path, arrays: dict[str, np.ndarray]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, file_name in FILES.items():
        (folder / file_name).write_bytes(gzip.compress(idx_bytes(arrays[name]), mtime=0))


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    np.savez_compressed(path, **arrays)
    return path
