"""MNIST and Fashion-MNIST from their four original files, else from .npz, else downloaded.

And scikit-learn's 1,797 handwritten digits (Alpaydin and Kaynak, UCI optdigits), which it brings
along. The checksums are those of the files as first published; they were found, equal, in several
independent public repositories.
"""

import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, UInt8

from fedket.data.download import fetch_file
from fedket.data.idx import read_idx
from fedket.data.npz import read_npz
from fedket.data.raw import RawData
from fedket.errors import DataError

TEST_EVERY = 5
"""Of the digits of each class every fifth is for testing."""

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


def is_stored(image_set: ImageSet, directory: Path) -> bool:
    """Whether the data directory has an image set, so that nothing is downloaded."""
    in_folder = _find_folder(image_set, directory) is not None
    return in_folder or (directory / f"{image_set.name}.npz").is_file()


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


def read_digits() -> RawData:
    """Return the digits with a fixed split: the 5th, 10th, ... sample of each class is for testing.

    The rule keeps class shares within one sample per class and needs no random numbers, so the
    split is the same everywhere.

    Returns:
        Images of shape (1442, 8, 8) and (355, 8, 8), uint8 from 0 to 16.
    """
    table = _read_table()
    x, y = table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(int)
    test = _every_nth_of_each_class(y)
    return RawData(x[~test], y[~test], x[test], y[test], max_value=16.0)


def _read_table() -> UInt8[np.ndarray, "samples columns"]:
    """64 pixels and the label of each sample, read from scikit-learn's file.

    `sklearn.datasets.load_digits` does the same, but importing scikit-learn takes 0.7 s.
    """
    package = find_spec("sklearn")
    if package is None or package.origin is None:
        raise DataError("scikit-learn, which brings the digits, is not installed; install it")
    file = Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz"
    return np.loadtxt(file, np.uint8, delimiter=",")


def _every_nth_of_each_class(y: Int[np.ndarray, " samples"]) -> Bool[np.ndarray, " samples"]:
    test = np.zeros(len(y), bool)
    for label in np.unique(y):
        test[np.flatnonzero(y == label)[TEST_EVERY - 1 :: TEST_EVERY]] = True
    return test
