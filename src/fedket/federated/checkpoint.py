"""Federation state as one safetensors file: arrays by path.

Round number, owner and a checksum over the arrays are metadata.
"""

import hashlib
from pathlib import Path
from typing import Any

import jax
import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from fedket.errors import CheckpointError
from fedket.federated.federation import FederationState
from fedket.files import write_atomic
from fedket.types import Params

FORMAT = "fedket-1"

Arrays = dict[str, np.ndarray]


def save_checkpoint(path: Path, state: FederationState, config_hash: str) -> None:
    """Write a state atomically.

    Args:
        path: The file.
        state: What to save.
        config_hash: Names the experiment the state belongs to; checked when loading.
    """
    metadata = {"format": FORMAT, "round": str(state.round_num), "config": config_hash}
    arrays = _by_path((state.params, state.server, state.clients))
    metadata["sha256"] = _checksum(arrays, metadata["round"])
    write_atomic(path, save(arrays, metadata))


def load_checkpoint(path: Path, template: FederationState, config_hash: str) -> FederationState:
    """Read a state back, bit for bit.

    Args:
        path: The file.
        template: A state of the same experiment, for structure, shapes and types.
        config_hash: The experiment that asks.

    Raises:
        CheckpointError: If the file is missing, damaged, of another experiment or another shape.
    """
    tree = (template.params, template.server, template.clients)
    expected = _by_path(tree)
    arrays, metadata = _read(path)
    if metadata.get("format") != FORMAT:
        raise CheckpointError(f"{path}: format {metadata.get('format')!r}, expected {FORMAT!r}")
    if metadata.get("config") != config_hash:
        raise CheckpointError(f"{path} belongs to another configuration; resume with its own")
    said = metadata.get("round", "")
    round_num = int(said) if said.isdecimal() and len(said) < 19 else -1
    if round_num < 0 or metadata.get("sha256") != _checksum(arrays, said):
        raise CheckpointError(f"{path} is damaged (its checksum is wrong); nothing was changed")
    for name, leaf in expected.items():
        found = arrays.get(name)
        if found is None or found.shape != leaf.shape or found.dtype != leaf.dtype:
            got = "nothing" if found is None else f"{found.dtype}{list(found.shape)}"
            raise CheckpointError(
                f"{path}: `{name}` should be {leaf.dtype}{list(leaf.shape)}, got {got}"
            )
    leaves = [jax.numpy.asarray(arrays[name]) for name in expected]
    params, server, clients = jax.tree.unflatten(jax.tree.structure(tree), leaves)
    return FederationState(round_num, params, server, clients)


def save_params(path: Path, params: Params) -> None:
    """Write the model alone, for others to load with any safetensors library."""
    write_atomic(path, save(_by_path(params), {"format": FORMAT}))


def load_params(path: Path, template: Params) -> Params:
    """Read a model that `save_params` wrote.

    Args:
        path: The file.
        template: Parameters of the same model, or their shapes and types.

    Raises:
        CheckpointError: If the file is missing, damaged, or of another model.
    """
    arrays, _ = _read(path)
    leaves = []
    for parts, leaf in jax.tree_util.tree_leaves_with_path(template):
        name = jax.tree_util.keystr(parts, simple=True, separator=".") or "params"
        found = arrays.get(name)
        if found is None or found.shape != leaf.shape:
            got = "nothing" if found is None else list(found.shape)
            raise CheckpointError(f"{path}: `{name}` should be {list(leaf.shape)}, got {got}")
        leaves.append(jax.numpy.asarray(found))
    return jax.tree.unflatten(jax.tree.structure(template), leaves)


def params_in(checkpoint: Path) -> bytes:
    """Return the model in a checkpoint as `save_params` writes it.

    Raises:
        CheckpointError: If the file is missing or damaged.
    """
    arrays, metadata = _read(checkpoint)
    if metadata.get("sha256") != _checksum(arrays, metadata.get("round", "")):
        raise CheckpointError(f"{checkpoint} is damaged (its checksum is wrong)")
    states = ((*name.partition("."), array) for name, array in arrays.items())
    params = {name or "params": array for state, _, name, array in states if state == "0"}
    return save(params, {"format": FORMAT})


def read_arrays(path: Path) -> Arrays:
    """The arrays of a file that `save_params` wrote, by path in the tree of parameters.

    Raises:
        CheckpointError: If the file is missing or damaged.
    """
    return _read(path)[0]


def params_sha256(params: Params) -> str:
    """SHA-256 over names, types, shapes and bytes of all parameters, ordered by name."""
    return _checksum(_by_path(params))


def _checksum(arrays: Arrays, heading: str = "") -> str:
    digest = hashlib.sha256(heading.encode())
    for name, leaf in sorted(arrays.items()):
        digest.update(f"{name}:{leaf.dtype}:{leaf.shape};".encode())
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()


def _by_path(tree: Any) -> Arrays:
    return {
        jax.tree_util.keystr(path, simple=True, separator=".") or "params": np.asarray(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def _read(path: Path) -> tuple[Arrays, dict[str, str]]:
    try:
        with safe_open(path, framework="np") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except FileNotFoundError:
        raise CheckpointError(f"no checkpoint at {path}") from None
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"{path} is damaged ({error}); nothing was changed") from None
