"""Features of a frozen network, worked out once and kept on disk.

A cache file is named after everything its features depend on: the network, its weights, how images
are prepared, and the images themselves. A file that is damaged is worked out again.
"""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from fedket.errors import DataError
from fedket.files import write_atomic

Extract = Callable[[Float32[np.ndarray, "batch ..."]], Float32[np.ndarray, "batch features"]]
"""Images of a batch -> their features."""


def cached_features(
    extract: Extract,
    parts: Mapping[str, np.ndarray],
    recipe: str,
    folder: Path,
    batch: int = 64,
) -> dict[str, np.ndarray]:
    """Return the features of every part, from the cache if it has them.

    Args:
        extract: The network; called with `batch` images each time.
        parts: Part name -> images, shape (samples, ...), float32.
        recipe: Everything else that the features depend on; a file name begins with its first
            word.
        folder: Where cache files are; made if absent.
        batch: Images per call; changes nothing but memory and time.

    Returns:
        Part name -> features, shape (samples, features), float32.

    Raises:
        DataError: The folder cannot be written.
    """
    path = folder / f"{recipe.split()[0]}-{arrays_digest(parts, recipe)[:32]}.safetensors"
    kept = _read(path, parts)
    if kept is not None:
        return kept
    features = extract_all(extract, parts, recipe.split()[0], batch)
    _write(path, features)
    return features


def extract_all(
    extract: Extract, parts: Mapping[str, np.ndarray], name: str, batch: int = 64
) -> dict[str, np.ndarray]:
    """Work the features out in batches, with a progress bar on standard error on a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    total = sum(map(len, parts.values()))
    with Progress(console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task(f"{name}: features of {total} images", total=total)
        features = {}
        for part, images in parts.items():
            rows = []
            for start in range(0, len(images), batch):
                some = images[start : start + batch]
                rows.append(extract(_padded(some, batch))[: len(some)])
                progress.advance(task, len(some))
            features[part] = np.concatenate(rows)
    return features


def _padded(images: np.ndarray, batch: int) -> np.ndarray:
    """Repeat the last image up to a whole batch, so that one compiled program serves all."""
    pads = [(0, batch - len(images)), *[(0, 0)] * (images.ndim - 1)]
    return np.pad(images, pads, mode="edge")


def arrays_digest(arrays: Mapping[str, np.ndarray], heading: str = "") -> str:
    """SHA-256 over a text, and names, types, shapes and values of arrays, in hex."""
    digest = hashlib.sha256(heading.encode())
    for name, array in sorted(arrays.items()):
        digest.update(f"{name}:{array.dtype}:{array.shape};".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _read(path: Path, parts: Mapping[str, np.ndarray]) -> dict[str, np.ndarray] | None:
    """The features kept in a file, or None if there is none that is whole."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            kept = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            checksum = (file.metadata() or {}).get("sha256")
    except (SafetensorError, OSError):
        return None
    whole = checksum == arrays_digest(kept) and set(kept) == set(parts)
    return kept if whole and all(len(kept[p]) == len(parts[p]) for p in parts) else None


def _write(path: Path, features: dict[str, np.ndarray]) -> None:
    from safetensors.numpy import save

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, save(features, {"sha256": arrays_digest(features)}))
    except OSError as error:
        raise DataError(
            f"features cannot be kept at {path} ({error.strerror}); make room, or name another "
            "folder with `features.cache`"
        ) from error
