"""Numbers to predict in place of classes: a data set that comes with scikit-learn."""

from typing import Literal

import numpy as np

from fedket.data.held_out import DataConfig
from fedket.section import Context
from fedket.types import Dataset

TEST_EVERY = 5
"""Each fifth sample is for testing."""


def load_diabetes() -> Dataset:
    """442 patients: ten measurements, and a measure of disease progression a year later, 25 to 346.

    Efron et al. 2004, Least Angle Regression, Annals of Statistics 32, part of scikit-learn.
    Features have mean 0 and sum of squares 1, as there; each fifth sample is for testing.
    """
    from sklearn.datasets import load_diabetes as read

    x, y = read(return_X_y=True)
    x, y = x.astype(np.float32), y.astype(np.float32)
    test = np.arange(len(y)) % TEST_EVERY == TEST_EVERY - 1
    return Dataset("diabetes", x[~test], y[~test], x[test], y[test], 1)


class DiabetesConfig(DataConfig):
    """scikit-learn's 442 patients with diabetes: a regression of ten features."""

    kind: Literal["diabetes"] = "diabetes"

    def build(self, context: Context) -> Dataset:
        """The data set."""
        return load_diabetes()
