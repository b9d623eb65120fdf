"""MNIST and Fashion-MNIST from their four original files, else from .npz, else downloaded.

The checksums are those of the files as first published; they were found, equal, in several
independent public repositories.
"""

import hashlib
from pathlib import Path
from typing import NamedTuple

from fedket.data.download import fetch_file
from fedket.data.idx import read_idx
from fedket.data.npz import read_npz
from fedket.data.raw import RawData
from fedket.errors import DataError

TRAIN_IMAGES = "train-images-idx3-ubyte.gz"
TRAIN_LABELS = "train-labels-idx1-ubyte.gz"
TEST_IMAGES = "t10k-images-idx3-ubyte.gz"
TEST_LABELS = "t10k-labels-idx1-ubyte.gz"


class ImageSet(NamedTuple):
    """Where an image set comes from.

    Attributes:
        name: Name of its folder and .npz file below the data directory.
        base_urls: Mirrors, each ending in a slash.
        sha256: File name -> checksum in hex, for the four files.
    """

    name: str
    base_urls: tuple[str, ...]
    sha256: dict[str, str]


MNIST = ImageSet(
    "mnist",
    (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    {
        TRAIN_IMAGES: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        TRAIN_LABELS: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        TEST_IMAGES: "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        TEST_LABELS: "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
)
"""LeCun, Cortes, Burges: 60,000 + 10,000 handwritten digits, 28x28."""

FASHION_MNIST = ImageSet(
    "fashion_mnist",
    (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    ),
    {
        TRAIN_IMAGES: "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        TRAIN_LABELS: "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        TEST_IMAGES: "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        TEST_LABELS: "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    },
)
"""Xiao, Rasul, Vollgraf (arXiv:1708.07747): 60,000 + 10,000 pieces of clothing, 28x28."""


def read_image_set(image_set: ImageSet, directory: Path) -> RawData:
    """Read an image set, downloading it if the data directory lacks it.

    Looked for in this order: the four files in `directory/<name>`, then in `directory`, then
    `directory/<name>.npz`. Missing files are downloaded to `directory/<name>`.

    Args:
        image_set: Which one.
        directory: The data directory.

    Returns:
        Images of shape (samples, 28, 28), uint8, and labels, as stored.

    Raises:
        DataError: A file is damaged, or is missing and cannot be downloaded.
    """
    folder = _find_folder(image_set, directory)
    npz = directory / f"{image_set.name}.npz"
    if folder is None and npz.is_file():
        return read_npz(npz)
    return _read_folder(folder or _download(image_set, directory))


def _find_folder(image_set: ImageSet, directory: Path) -> Path | None:
    for folder in (directory / image_set.name, directory):
        if all((folder / name).is_file() for name in image_set.sha256):
            if folder == directory and _belongs_to_another(image_set, folder):
                continue
            return folder
    return None


def _belongs_to_another(image_set: ImageSet, folder: Path) -> bool:
    """Tell whether the labels are those of the other set: the files of both have the same names."""
    actual = hashlib.sha256((folder / TRAIN_LABELS).read_bytes()).hexdigest()
    others = (other for other in (MNIST, FASHION_MNIST) if other.name != image_set.name)
    return any(actual == other.sha256[TRAIN_LABELS] for other in others)


def _download(image_set: ImageSet, directory: Path) -> Path:
    folder = directory / image_set.name
    try:
        for name, sha256 in image_set.sha256.items():
            if not (folder / name).is_file():
                fetch_file(name, image_set.base_urls, sha256, folder)
    except DataError as error:
        raise DataError(
            f"{error}; without a network put {', '.join(image_set.sha256)} into {folder}, or "
            f"{image_set.name}.npz into {directory}, or let FEDKET_DATA name a folder with them"
        ) from error
    return folder


def _read_folder(folder: Path) -> RawData:
    return RawData(
        x_train=read_idx(folder / TRAIN_IMAGES, num_axes=3),
        y_train=read_idx(folder / TRAIN_LABELS, num_axes=1),
        x_test=read_idx(folder / TEST_IMAGES, num_axes=3),
        y_test=read_idx(folder / TEST_LABELS, num_axes=1),
    )
