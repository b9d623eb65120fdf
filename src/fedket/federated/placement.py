"""Where arrays lie: on one device, on all devices of a mesh, or on one's own of many processes.

A mesh may span processes. Arrays that all of its devices hold, and results that all of them get,
are then the same in every process; each process reads its own copy.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeGuard

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

CLIENTS = "clients"
"""Axis of a mesh along which clients are dealt to devices."""

BATCH = "batch"
"""Axis of a mesh whose devices train the same clients, each on its part of every batch."""


def everywhere(mesh: Mesh | None, tree: Any) -> Any:
    """Copy arrays to all devices, unless they are there; else a second round compiles anew."""
    if mesh is None:
        return tree
    sharding = NamedSharding(mesh, PartitionSpec())
    if mesh.is_multi_process:
        return jax.tree.map(lambda leaf: _to_all(sharding, leaf), tree)
    if all(_lies(leaf, sharding) for leaf in jax.tree.leaves(tree)):
        return tree  # which JAX takes longer to find out
    return jax.device_put(tree, sharding)


class Resident:
    """An argument of every round, on all devices for as long as it stays what it is.

    To copy one to other devices takes Python and JAX a tenth of a millisecond. JAX's arrays stay
    if they are the same objects, NumPy's, which must not be written to, if they are equal.

    Args:
        mesh: The devices; None leaves arguments as they are.
    """

    def __init__(self, mesh: Mesh | None) -> None:
        self._mesh = mesh
        self._given: Any = None
        self._placed: Any = None

    def place(self, tree: Any) -> Any:
        """Return it on all devices, copied unless it is what is there."""
        if self._mesh is None:
            return tree
        if not _are_same(self._given, tree):
            self._given, self._placed = tree, everywhere(self._mesh, tree)
        return self._placed

    def know(self, tree: Any, placed: Any) -> None:
        """Take note of what all devices hold as their result."""
        self._given, self._placed = tree, placed


def readable_everywhere(mesh: Mesh | None, tree: Any) -> Any:
    """The same for large arrays that are only read: the devices of one CPU share their memory."""
    if mesh is None or mesh.is_multi_process:
        return everywhere(mesh, tree)
    if mesh.devices.flat[0].platform == "cpu":
        # JAX copies its own arrays from device to device, but takes NumPy's as they are.
        tree = jax.tree.map(lambda a: np.asarray(a) if isinstance(a, jax.Array) else a, tree)
    return everywhere(mesh, tree)


def here(mesh: Mesh | None, tree: Any) -> Any:
    """Return a single copy of arrays that all devices hold, of several processes each its own.

    What is worked out from it then runs once, not on every device.
    """
    return tree if mesh is None else jax.tree.map(partial(_own_copy, mesh), tree)


def one_copy(tree: Any) -> Any:
    """Return this process's copy of arrays that are on one device, or alike on all."""
    return jax.tree.map(lambda leaf: leaf.addressable_data(0), tree)


def results_everywhere(mesh: Mesh | None) -> NamedSharding | None:
    """Where results of a program must lie: over several processes all of them come to all."""
    if mesh is None or not mesh.is_multi_process:
        return None
    return NamedSharding(mesh, PartitionSpec())


def devices_for_clients(mesh: Mesh | None) -> int:
    """How many devices have clients of their own."""
    return 1 if mesh is None else mesh.shape.get(CLIENTS, 1)


def dealt(train: Callable[..., Any], mesh: Mesh | None) -> Callable[..., Any]:
    """Run `train` on every device with its part of the chunks; results lie in their order.

    Without an axis `CLIENTS` every device has all chunks, and comes to the same results.
    """
    if mesh is None:
        return train
    whole = PartitionSpec()
    part = PartitionSpec(CLIENTS) if CLIENTS in mesh.shape else whole
    return jax.shard_map(
        train,
        mesh=mesh,
        in_specs=(whole, whole, whole, part, whole),
        out_specs=part,
        check_vma=False,
    )


def _lies(leaf: Any, sharding: NamedSharding) -> TypeGuard[jax.Array]:
    return isinstance(leaf, jax.Array) and leaf.sharding == sharding


def _are_same(tree: Any, other: Any) -> bool:
    """Whether two trees hold the same arrays, or equal ones of NumPy's."""
    structure: Any = jax.tree.structure(tree)
    if structure != jax.tree.structure(other):
        return False
    return all(map(_is_same, jax.tree.leaves(tree), jax.tree.leaves(other)))


def _is_same(leaf: Any, other: Any) -> bool:
    if isinstance(leaf, jax.Array) or isinstance(other, jax.Array):
        return leaf is other
    return leaf.dtype == other.dtype and np.array_equal(leaf, other)


def _to_all(sharding: NamedSharding, leaf: Any) -> jax.Array:
    """Make one array of the processes' equal copies, without comparing them."""
    if _lies(leaf, sharding):
        return leaf
    own = jnp.asarray(leaf)
    copies = [jax.device_put(own, device) for device in sharding.mesh.local_devices]
    return jax.make_array_from_single_device_arrays(own.shape, sharding, copies)


def _own_copy(mesh: Mesh, leaf: Any) -> Any:
    if not isinstance(leaf, jax.Array):
        return leaf
    if leaf.is_fully_replicated:
        return leaf.addressable_data(0)  # nothing is copied or waited for
    return jax.device_put(leaf, mesh.devices.flat[0])
