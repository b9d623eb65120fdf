"""scikit-learn's 1,797 handwritten digits (Alpaydin and Kaynak, UCI optdigits), no file needed."""

import numpy as np
from jaxtyping import Bool, Int

from fedket.data.raw import RawData

TEST_EVERY = 5


def read_digits() -> RawData:
    """Return the digits with a fixed split: the 5th, 10th, ... sample of each class is for testing.

    The rule keeps class shares within one sample per class and needs no random numbers, so the
    split is the same everywhere.

    Returns:
        Images of shape (1442, 8, 8) and (355, 8, 8), uint8 from 0 to 16.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    x, y = digits.images.astype(np.uint8), digits.target
    test = _every_nth_of_each_class(y)
    return RawData(x[~test], y[~test], x[test], y[test], max_value=16.0)


def _every_nth_of_each_class(y: Int[np.ndarray, " samples"]) -> Bool[np.ndarray, " samples"]:
    test = np.zeros(len(y), bool)
    for label in np.unique(y):
        test[np.flatnonzero(y == label)[TEST_EVERY - 1 :: TEST_EVERY]] = True
    return test
