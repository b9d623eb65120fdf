"""Checks and counts over a finished partition."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Int64, Integer

from fedket.errors import PartitionError
from fedket.types import Partition


def check_partition(partition: Partition, num_samples: int) -> None:
    """Make sure that every sample belongs to exactly one client.

    Args:
        partition: One index array per client.
        num_samples: Number of training samples.

    Raises:
        PartitionError: There is no client, indices are no sorted integers or out of range, or a
            sample is missing or held twice.
    """
    indices, holders = _holders(partition, num_samples)
    if np.any(holders != 1):
        sample = int(np.flatnonzero(holders != 1)[0])
        raise PartitionError(f"sample {sample} is held by {holders[sample]} clients; it needs one")
    falls = np.flatnonzero(np.diff(indices) <= 0) + 1
    starts = np.cumsum([len(part) for part in partition])
    if not np.isin(falls, starts).all():
        raise PartitionError("a client's sample indices must be sorted")


def check_shares(partition: Sequence[Any], num_samples: int) -> None:
    """Make sure that no sample belongs to two clients; some may belong to none, in any order.

    Raises:
        PartitionError: There is no client, indices are no integers or out of range, or a sample is
            held twice.
    """
    _, holders = _holders(partition, num_samples)
    if np.any(holders > 1):
        sample = int(holders.argmax())
        raise PartitionError(
            f"sample {sample} is held {holders[sample]} times; give each to one client, once"
        )


def _holders(partition: Sequence[Any], num_samples: int) -> tuple[np.ndarray, np.ndarray]:
    """All indices of a partition, and how often each sample is held."""
    if not len(partition):
        raise PartitionError("the partition has no clients; use at least one")
    parts = [np.asarray(part) for part in partition]
    if any(part.ndim != 1 or (part.size and part.dtype.kind not in "iu") for part in parts):
        raise PartitionError("a client's samples must be a one-dimensional integer array")
    indices = np.concatenate(parts).astype(np.int64)
    if len(indices) and (indices.min() < 0 or indices.max() >= num_samples):
        raise PartitionError(
            f"sample indices run from {indices.min()} to {indices.max()}; the data has "
            f"{num_samples} samples"
        )
    return indices, np.bincount(indices, minlength=num_samples)


def label_counts(
    partition: Partition, labels: Integer[np.ndarray, " samples"], num_classes: int
) -> Int64[np.ndarray, "clients classes"]:
    """Count the samples of each class on each client.

    Args:
        partition: One index array per client.
        labels: Class of each sample, 0..num_classes-1.
        num_classes: Number of classes.

    Returns:
        Counts, shape (clients, classes).
    """
    sizes = [len(part) for part in partition]
    client = np.repeat(np.arange(len(partition)), sizes)
    cell = client * num_classes + labels[np.concatenate(partition)]
    counts = np.bincount(cell, minlength=len(partition) * num_classes)
    return counts.reshape(len(partition), num_classes)
