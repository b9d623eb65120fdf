"""PyTorch's weight files (.pth, .pt) read without PyTorch, and without running what is in them.

A .pth file is a pickle, which may name any function to call. The reader here admits eight names,
all answered by inert stand-ins, and raises on any other, so that nothing from the file is ever
executed. Both formats are read: the zip archive of PyTorch 1.6 and later, and the older one (three
header pickles, the object, a list of storage keys, then every storage as a count and raw bytes),
in which torchvision's VGG16 is published. Values are little-endian.
"""

import pickle
import pickletools
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable
from io import BufferedIOBase, BytesIO
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import numpy as np

from fedket.data.unpacking import check_growth
from fedket.errors import DataError

MAGIC = 0x1950A86A20F9469CFC6C
"""First object of the older format."""

DTYPES = {"FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "LongStorage": "<i8"}
"""Storage class in module `torch` -> numpy dtype."""


LARGEST = 1000
"""So many parts no tuple has, with the tuples in it: those that describe a tensor have a dozen."""

Operations = Iterable[tuple[pickletools.OpcodeInfo, Any, int | None]]
"""Of a pickle: what each is, its argument and its place."""


class Storage(NamedTuple):
    """A run of numbers that tensors look into: its key, dtype and length."""

    key: str
    dtype: str
    length: int


class Tensor(NamedTuple):
    """Where a tensor's numbers are; offset and strides count elements of the storage."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def __setstate__(self, _: object) -> None:
        """Parameters of early files carry hooks and flags; they are of no use here."""


def read_torch(path: Path) -> dict[str, np.ndarray]:
    """Read a state dictionary: names and tensors.

    Args:
        path: A .pth or .pt file.

    Returns:
        Name -> array, as stored.

    Raises:
        DataError: The file is missing or truncated, or holds anything but tensors by name.
    """
    try:
        if zipfile.is_zipfile(path):
            return _read_archive(path)
        with path.open("rb") as file:
            return _read_sequence(file)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    except Exception as error:  # pickle and zipfile raise a dozen types on bad bytes
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path} is no readable PyTorch file ({reason}); get it again") from error


def _read_archive(path: Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        check_growth(archive, path)
        (index,) = (name for name in archive.namelist() if name.endswith("/data.pkl"))
        folder = index.removesuffix("data.pkl")
        if f"{folder}byteorder" in archive.namelist():
            _check_order(archive.read(f"{folder}byteorder") == b"little")
        found = _unpickle(BytesIO(archive.read(index)))
        tensors = _tensors(found)
        storages = {t.storage.key: t.storage for t in tensors.values()}
        content = {key: archive.read(f"{folder}data/{key}") for key in storages}
    return {name: _view(tensor, content) for name, tensor in tensors.items()}


def _read_sequence(file: BufferedIOBase) -> dict[str, np.ndarray]:
    """The older format; storages follow the pickles in the order of the list of keys."""
    if _unpickle(file) != MAGIC:
        raise DataError("it is no PyTorch file; expected a .pth of torch.save")
    _unpickle(file)  # version of the format; it never changed
    system = _unpickle(file)
    _check_order(isinstance(system, dict) and system.get("little_endian", True) is True)
    tensors = _tensors(_unpickle(file))
    storages = {t.storage.key: t.storage for t in tensors.values()}
    keys = _unpickle(file)
    content = {}
    for key in keys if isinstance(keys, list) else []:
        storage = storages.get(key)
        length = int.from_bytes(file.read(8), "little")
        if storage is None or length != storage.length:
            raise DataError(f"storage {key} of {length} numbers belongs to no tensor")
        content[key] = file.read(length * np.dtype(storage.dtype).itemsize)
    return {name: _view(tensor, content) for name, tensor in tensors.items()}


def _check_order(little_endian: bool) -> None:
    if not little_endian:
        raise DataError("its numbers are big-endian; save it again on a little-endian machine")


def _tensors(found: object) -> dict[str, Tensor]:
    if not isinstance(found, dict) or not all(isinstance(t, Tensor) for t in found.values()):
        raise DataError("it holds more than tensors by name; save the model's `state_dict()` alone")
    return {str(name): tensor for name, tensor in found.items()}


def _view(tensor: Tensor, content: dict[str, bytes]) -> np.ndarray:
    """The tensor's numbers; refuses to look outside its storage."""
    storage, shape, strides = tensor.storage, tensor.shape, tensor.strides
    dtype = np.dtype(storage.dtype)
    raw = content.get(storage.key, b"")
    if len(raw) != storage.length * dtype.itemsize:
        raise DataError(
            f"truncated: storage {storage.key} has {len(raw)} of "
            f"{storage.length * dtype.itemsize} bytes; get the file again"
        )
    count = int(np.prod(shape, dtype=object))
    reach = tensor.offset + sum((n - 1) * s for n, s in zip(shape, strides, strict=True))
    low = min((tensor.offset, *shape, *strides))
    if low < 0 or (count and reach >= storage.length) or count > storage.length:
        raise DataError(f"a tensor of shape {shape} reaches beyond storage {storage.key}")
    flat = np.frombuffer(raw, dtype)[tensor.offset :]
    step = [s * dtype.itemsize for s in strides]
    view: np.ndarray = np.lib.stride_tricks.as_strided(flat, shape, step, writeable=False)
    return view.copy()


class _Call:
    """A stand-in for a function named in the file; has no attributes that a pickle could set."""

    __slots__ = ("function",)
    function: Callable[..., object]

    def __init__(self, function: Callable[..., object]) -> None:
        object.__setattr__(self, "function", function)

    def __setattr__(self, name: str, value: object) -> None:
        raise pickle.UnpicklingError("a function cannot be changed")

    def __call__(self, *args: Any) -> object:
        return self.function(*args)


def _rebuild_tensor(
    storage: object, offset: object, shape: tuple[Any, ...], strides: tuple[Any, ...], *_: object
) -> Tensor:
    """Check what a pickle says of a tensor; gradients and hooks are dropped."""
    if (
        not isinstance(storage, Storage)
        or not isinstance(offset, int)
        or not all(type(size) is int for size in (*shape, *strides))
    ):
        raise DataError("a tensor is not described by a storage and integers")
    if len(shape) != len(strides):
        raise DataError(f"a tensor of shape {shape} has strides {strides}")
    return Tensor(storage, offset, tuple(shape), tuple(strides))


def _rebuild_parameter(tensor: object, *_: object) -> Tensor:
    """A parameter is its tensor."""
    if not isinstance(tensor, Tensor):
        raise DataError("a parameter is not a tensor")
    return tensor


_STAND_INS: dict[tuple[str, str], Callable[[], object]] = {
    ("collections", "OrderedDict"): lambda: _Call(OrderedDict),
    ("torch._utils", "_rebuild_tensor"): lambda: _Call(_rebuild_tensor),
    ("torch._utils", "_rebuild_tensor_v2"): lambda: _Call(_rebuild_tensor),
    ("torch._utils", "_rebuild_parameter"): lambda: _Call(_rebuild_parameter),
    ("torch.nn.parameter", "Parameter"): lambda: _Call(_rebuild_parameter),
    **{("torch", name): (lambda dtype=dtype: dtype) for name, dtype in DTYPES.items()},  # type: ignore[misc]
}
"""Names that a file may use -> maker of what answers them."""


class _TensorUnpickler(pickle.Unpickler):
    """Knows the names of `_STAND_INS` and no other, so that no code of the file's choice runs."""

    def find_class(self, module: str, name: str) -> object:
        if (module, name) not in _STAND_INS:
            raise DataError(
                f"it asks for `{module}.{name}`, which is no tensor; only tensors are read: save "
                "the model's `state_dict()` alone"
            )
        return _STAND_INS[module, name]()

    def persistent_load(self, pid: object) -> Storage:
        match pid:
            case ("storage", str(dtype), str(key), _, int(length), *rest):
                if dtype in DTYPES.values() and length >= 0 and rest in ([], [None]):
                    return Storage(key, dtype, length)
        raise DataError("a storage is not described as PyTorch does; save the file again")


def _unpickle(file: BufferedIOBase) -> object:
    """Read one pickle, from where the file stands to the pickle's end."""
    start = file.tell()
    _check_cost(pickletools.genops(cast("IO[bytes]", file)))
    file.seek(start)
    return _TensorUnpickler(file).load()


def _check_cost(operations: Operations) -> None:
    """Refuse a pickle of few bytes that would take all memory, or all time.

    Objects that are referred to again have numbers, counted up from 0; the unpickler makes room up
    to any number it meets. Tuples of the same tuples, again and again, are small but take for ever
    to hash, so each object on the pickle's stack is followed with how much hangs on it.
    """
    stack: list[int] = []
    marks: list[int] = []
    memo: dict[int, int] = {}
    for count, (code, number, _) in enumerate(operations):
        if "PUT" in code.name and int(number or 0) > count:
            raise DataError(f"it numbers its objects up to {number}; get it again")
        if code.name == "MARK":
            marks.append(len(stack))
        elif "PUT" in code.name or code.name == "MEMOIZE":
            memo[len(memo) if number is None else int(number)] = stack[-1]
        elif "GET" in code.name:
            stack.append(memo[int(number or 0)])
        else:
            marked = pickletools.markobject in code.stack_before
            kept = code.stack_before.index(pickletools.markobject) if marked else 0
            start = marks.pop() - kept if marked else len(stack) - len(code.stack_before)
            size = min(1 + sum(stack[start:]), LARGEST)  # no more is asked of it
            if size == LARGEST and "TUPLE" in code.name:
                raise DataError(f"a tuple of {LARGEST} parts is in no tensor; get it again")
            made = 1 if code.name in ("REDUCE", "BINPERSID") else size
            stack[start:] = [made] * len(code.stack_after)
