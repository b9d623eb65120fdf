"""Pretrained weights: found below the data directory, downloaded if published, read by format.

Nothing here knows networks: a file is arrays by name.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from fedket.data.download import fetch_file, find_file
from fedket.data.npz import read_arrays
from fedket.data.torch_file import read_torch
from fedket.errors import DataError


class WeightsFile(NamedTuple):
    """A published weights file.

    Attributes:
        name: File name.
        base_urls: Where it is published, each ending in a slash; empty means nowhere in this form.
        sha256: Checksum in hex, checked after a download; empty with no URL.
    """

    name: str
    base_urls: tuple[str, ...] = ()
    sha256: str = ""


WEIGHTS = {
    "squeezenet1_1": WeightsFile("squeezenet1_1_features_f32.npz"),
    "mobilenet_v2": WeightsFile("mobilenet_v2_features_f16.npz"),
    "vgg16": WeightsFile(
        "vgg16-397923af.pth",
        ("https://download.pytorch.org/models/",),
        "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
    ),
}
"""Backbone -> file used when none is named; VGG16's is torchvision's `IMAGENET1K_V1`, 528 MiB."""


def find_weights(backbone: str, path: str, directory: Path) -> Path:
    """Return the weights file of a backbone, downloading it if it is published.

    Args:
        backbone: A name of `WEIGHTS`.
        path: A file, or a name below the data directory; empty means the one in `WEIGHTS`.
        directory: The data directory.

    Raises:
        DataError: There is no such file, and it cannot be downloaded.
    """
    if path:
        return find_file(path, directory, "correct `features.weights`")
    published = WEIGHTS[backbone]
    found = directory / published.name
    if found.is_file():
        return found
    if not published.base_urls:
        raise DataError(
            f"no weights of {backbone} at {found}; put {published.name} there, name a file with "
            "`features.weights`, or set FEDKET_DATA to the folder that holds it"
        )
    try:
        return fetch_file(published.name, published.base_urls, published.sha256, directory)
    except DataError as error:
        raise DataError(
            f"{error}; without a network put {published.name} into {directory}, or name a file "
            "with `features.weights`"
        ) from error


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """Read arrays by name from an .npz, .safetensors, .pth or .pt file.

    Raises:
        DataError: The file is missing or damaged, or its name ends otherwise.
    """
    suffix = path.suffix.lower()
    if not path.is_file():
        raise DataError(f"no weights file at {path}; correct `features.weights`")
    if suffix == ".npz":
        return read_arrays(path)
    if suffix == ".safetensors":
        return _read_safetensors(path)
    if suffix in (".pth", ".pt"):
        return read_torch(path)
    raise DataError(f"{path}: weights are read from .npz, .safetensors and .pth files")


def _read_safetensors(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, TypeError) as error:
        raise DataError(f"{path} is no readable safetensors file ({error}); get it again") from None
