"""Checks and counts over a finished partition."""

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
    if not partition:
        raise PartitionError("the partition has no clients; use at least one")
    if any(part.ndim != 1 or part.dtype.kind not in "iu" for part in partition):
        raise PartitionError("a client's samples must be a one-dimensional integer array")
    indices = np.concatenate(partition).astype(np.int64)
    if len(indices) and (indices.min() < 0 or indices.max() >= num_samples):
        raise PartitionError(
            f"sample indices run from {indices.min()} to {indices.max()}; the data has "
            f"{num_samples} samples"
        )
    holders = np.bincount(indices, minlength=num_samples)
    if np.any(holders != 1):
        sample = int(np.flatnonzero(holders != 1)[0])
        raise PartitionError(f"sample {sample} is held by {holders[sample]} clients; it needs one")
    falls = np.flatnonzero(np.diff(indices) <= 0) + 1
    starts = np.cumsum([len(part) for part in partition])
    if not np.isin(falls, starts).all():
        raise PartitionError("a client's sample indices must be sorted")


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
