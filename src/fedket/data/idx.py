"""The idx format of the original MNIST files (yann.lecun.com/exdb/mnist), gzip-compressed.

Layout: two zero bytes, a type code, the number of axes, one big-endian uint32 per axis, then the
values in C order, big-endian.
"""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import Num

from fedket.data.unpacking import allowed_bytes, too_large
from fedket.errors import DataError

DTYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
"""Type code -> numpy dtype as stored."""


def read_idx(path: Path, num_axes: int) -> Num[np.ndarray, "..."]:
    """Read one gzip-compressed idx file.

    Args:
        path: The .gz file.
        num_axes: Axes the array must have: 3 for images, 1 for labels.

    Returns:
        The array in native byte order, possibly read-only.

    Raises:
        DataError: The file is missing, truncated or not an idx file, or has other axes.
    """
    return _parse(_decompress(path), num_axes, path)


def _decompress(path: Path) -> bytes:
    try:
        with gzip.open(path) as file:
            data = file.read(allowed_bytes(path) + 1)
    except FileNotFoundError as error:
        raise DataError(f"{path} does not exist; put the file there") from error
    except (OSError, EOFError, zlib.error) as error:
        raise _damaged(path, str(error)) from error
    if len(data) > allowed_bytes(path):
        raise too_large(path, "unpacks to more")
    return data


def _parse(data: bytes, num_axes: int, path: Path) -> Num[np.ndarray, "..."]:
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in DTYPES:
        raise _damaged(path, f"it starts with {data[:4].hex() or 'nothing'}, no idx magic number")
    if data[3] != num_axes:
        raise _damaged(path, f"it has {data[3]} axes where {num_axes} are needed")
    start = 4 + 4 * num_axes
    if len(data) < start:
        raise _damaged(path, "it ends within its header")
    shape = struct.unpack(f">{num_axes}I", data[4:start])
    dtype = np.dtype(DTYPES[data[2]])
    expected = math.prod(shape) * dtype.itemsize
    if len(data) - start != expected:
        raise _damaged(path, f"shape {shape} needs {expected} bytes, got {len(data) - start}")
    array = np.frombuffer(data, dtype, offset=start).reshape(shape)
    return array.astype(dtype.newbyteorder("="), copy=False)


def _damaged(path: Path, reason: str) -> DataError:
    return DataError(f"{path} is damaged ({reason}); delete it to have it downloaded again")
