"""scikit-learn's 1,797 handwritten digits (Alpaydin and Kaynak, UCI optdigits), no file needed."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Int, UInt8

from fedket.data.raw import RawData
from fedket.errors import DataError

TEST_EVERY = 5


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
