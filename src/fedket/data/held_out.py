"""A validation split: training samples that nobody trains on, for choices that no test set may see.

It is taken before samples are dealt to clients and before anything is fitted to the training part.
"""

from typing import Annotated

import numpy as np
from pydantic import Field

from fedket.errors import DataError
from fedket.rng import Purpose, numpy_seed
from fedket.section import Section
from fedket.types import Dataset


class DataConfig(Section):
    """Base of data sets of which a part may be held out."""

    validation_fraction: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of the training samples, of each class alike, that is held out before they are dealt
    to clients: for choosing the best model, early stopping, tuning; absent for none."""


def hold_out(dataset: Dataset, fraction: float, seed: int = 0) -> Dataset:
    """Move a share of the training samples to the validation part.

    Labels are spread as in the whole: sorted by label, in random order within one, samples at
    equal distances are taken, so that a class's share is right to one sample.

    Args:
        dataset: Without a validation part.
        fraction: Share of the training samples, between 0 and 1.
        seed: Which ones; a split is a function of it and of the labels.

    Raises:
        DataError: There is a validation part already, or nothing would be left of either part.
    """
    if dataset.x_val is not None:
        raise DataError(
            f"data set `{dataset.name}` has a validation part of its own; leave "
            "data.validation_fraction out"
        )
    labels = dataset.y_train
    count = round(fraction * len(labels))
    if not 0 < count < len(labels):
        raise DataError(
            f"data.validation_fraction is {fraction:g}, of {len(labels)} training samples that is "
            f"{count}; hold out at least one and leave at least one"
        )
    rng = np.random.default_rng(numpy_seed(seed, Purpose.VALIDATION))
    order = np.lexsort((rng.random(len(labels)), labels))
    places = (np.arange(count) * len(labels) + len(labels) // 2) // count
    held = np.zeros(len(labels), bool)
    held[order[places]] = True
    groups = None if dataset.groups is None else dataset.groups[~held]
    return dataset._replace(
        x_train=dataset.x_train[~held],
        y_train=labels[~held],
        x_val=dataset.x_train[held],
        y_val=labels[held],
        groups=groups,
    )


def joined_to_test(dataset: Dataset) -> Dataset:
    """The validation part behind the test part, so that a transform treats both alike."""
    if dataset.x_val is None or dataset.y_val is None:
        return dataset
    x_test = np.concatenate([dataset.x_test, dataset.x_val])
    y_test = np.concatenate([dataset.y_test, dataset.y_val])
    return dataset._replace(x_test=x_test, y_test=y_test, x_val=None, y_val=None)


def parted_from_test(dataset: Dataset, num_test: int) -> Dataset:
    """`joined_to_test` undone: what is beyond so many test samples is for validation again."""
    if len(dataset.y_test) == num_test:
        return dataset
    (x_test, x_val), (y_test, y_val) = (
        np.split(part, [num_test]) for part in (dataset.x_test, dataset.y_test)
    )
    return dataset._replace(x_test=x_test, y_test=y_test, x_val=x_val, y_val=y_val)
