"""The engine's two passes as compiled kernels, if the package `fedket-native` is installed.

Same arguments, same results to rounding as the scans in `engine`, which remain the reference and
what runs elsewhere: on GPUs, under `FEDKET_NATIVE=0`, or without the package. The kernels work on
tiles of states that fit into a core's cache, a tile per thread; results do not depend on threads.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from importlib import import_module
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.backend import backends
from jaxtyping import Array, Complex, UInt8

from fedket.quantum.circuit import Circuit
from fedket.quantum.plan import Block, ProductBlock

WIDE = 4
"""From this many times more states than amplitudes on, the circuit's matrix is worked out first."""

MAX_WINDOW = 2
"""Qubits of a window: of 2, 3 and 4 the fastest, though twice as many pass over the states."""

MOVES = ("CNOT", "CZ", "SWAP")
Batch = Complex[Array, "dim batch"]
Paulis = UInt8[Array, "layers blocks qubits batch"]


@cache
def kernels() -> ModuleType | None:
    """The compiled kernels, registered with XLA; None if they are not installed or switched off."""
    if os.environ.get("FEDKET_NATIVE") == "0":
        return None
    try:
        package = import_module("fedket_native")
    except ImportError:
        return None
    for name, function in package.TARGETS.items():
        jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(function), platform="cpu")
    return package


def has(target: str) -> bool:
    """Whether kernels are installed, by a package that has this one."""
    package = kernels()
    return package is not None and target in package.TARGETS


_ANY_DEVICE: ContextVar[bool] = ContextVar("any_device", default=False)


@contextmanager
def for_any_device() -> Iterator[None]:
    """Within it, `on_cpus` traces the scan, too: a kernel does not show how much is written."""
    token = _ANY_DEVICE.set(True)
    try:
        yield
    finally:
        _ANY_DEVICE.reset(token)


def on_cpus(kernel: Callable[..., Any], scan: Callable[..., Any], *arguments: Any) -> Any:
    """The kernel's result on CPUs, the scan's on other devices.

    Only the kernel is traced if this process has no others: that takes half the time.
    """
    if list(backends()) == ["cpu"] and not _ANY_DEVICE.get():
        return kernel(*arguments)
    return jax.lax.platform_dependent(*arguments, cpu=kernel, default=scan)


def engine_name() -> str:
    """What runs circuits on this machine's CPU, in words."""
    package = kernels()
    if package is None:
        return "JAX"
    return f"native, x86-64-v{package.LEVEL}" if package.LEVEL else "native"


def run(
    circuit: Circuit,
    blocks: tuple[Block, ...],
    matrices: list[Array],
    psi: Batch,
    paulis: Paulis | None = None,
) -> Batch:
    """Apply all layers to a batch of states.

    Args:
        circuit: The circuit.
        blocks: Its layer's, those of the matrices; with Paulis all of them products.
        matrices: Of each block, in all layers.
        psi: States as columns.
        paulis: What comes before each block's gates: 1 for X, 2 for Z, 3 for both.
    """
    kind, before = ("forward", ()) if paulis is None else ("trajectories", (paulis,))
    call = jax.ffi.ffi_call(
        f"fedket_{kind}", jax.ShapeDtypeStruct(psi.shape, psi.dtype), vmap_method="broadcast_all"
    )
    result: Array = call(
        *before, _packed(matrices), psi, num_qubits=np.int64(circuit.num_qubits), code=_code(blocks)
    )
    return result


def pull_back(
    circuit: Circuit,
    blocks: tuple[Block, ...],
    matrices: list[Array],
    final: Batch,
    cotangent: Batch,
    paulis: Paulis | None = None,
) -> tuple[list[Array], Batch]:
    """Cotangents of the matrices and of the initial states, from the final states and theirs.

    Those of one-qubit matrices are exact along unitary matrices only, which all gates are.
    Other arguments are those of `run`.
    """
    kind, before = ("backward", ()) if paulis is None else ("trajectories_back", (paulis,))
    packed = _packed(matrices)
    results = (
        jax.ShapeDtypeStruct(packed.shape, packed.dtype),
        jax.ShapeDtypeStruct(final.shape, final.dtype),
    )
    call = jax.ffi.ffi_call(f"fedket_{kind}", results, vmap_method="broadcast_all")
    numbers = {"num_qubits": np.int64(circuit.num_qubits), "code": _code(blocks)}
    grads, initial = call(*before, packed, final, cotangent, **numbers)
    ends = np.cumsum([matrix[0].size for matrix in matrices])[:-1]
    parts = jnp.split(grads, ends, axis=1)
    return [part.reshape(m.shape) for part, m in zip(parts, matrices, strict=True)], initial


def _packed(matrices: list[Array]) -> Complex[Array, "layers numbers"]:
    """All matrices of a layer, one after the other."""
    return jnp.concatenate([matrix.reshape(len(matrix), -1) for matrix in matrices], axis=1)


def _code(blocks: tuple[Block, ...]) -> np.ndarray:
    """Blocks as kernels read them: a product's moves and qubits, a window's control and qubits."""
    numbers: list[int] = []
    for block in blocks:
        if isinstance(block, ProductBlock):
            numbers += [0, len(block.moves)]
            for gate in block.moves:
                numbers += [MOVES.index(gate.name), *gate.qubits]
            qubits = [qubit for qubit, gates in enumerate(block.gates) if gates]
        else:
            qubits = list(block.qubits)
            control = block.control if has("fedket_pooled") else None  # older ones know 0 and 1
            numbers += [1 if control is None else 2 + qubits.index(control)]
        numbers += [len(qubits), *qubits]
    return np.array(numbers, np.int64)
