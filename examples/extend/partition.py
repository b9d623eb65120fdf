"""A partition of one's own: clients of geometrically growing size.

Run it with `python examples/extend/partition.py`, or name it:
`[partition] kind = "partition.py:Growing"`.
"""

import numpy as np

import fedket as fk


def growing(num_samples: int, num_clients: int, factor: float) -> fk.Partition:
    """Client i gets a share proportional to factor**i; samples keep their order."""
    shares = factor ** np.arange(num_clients)
    ends = np.round(np.cumsum(shares / shares.sum()) * num_samples).astype(int)
    return np.split(np.arange(num_samples), ends[:-1])


class Growing(fk.PartitionConfig):
    """The keys of `[partition]`, `num_clients` included."""

    factor: fk.PositiveFloat = 1.3

    def build(self, context: fk.Context) -> fk.Partition:
        """The partition of the training samples."""
        return growing(len(context.samples.y_train), self.num_clients, self.factor)


if __name__ == "__main__":
    from first import demonstrate

    parts = growing(200, 5, 1.5)
    demonstrate(partition=parts)
