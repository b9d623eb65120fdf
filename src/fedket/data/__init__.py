"""Data sets, their split over clients, and padded batches of clients.

Importing this package is cheap: scikit-learn, pooch, Pillow and rich are imported when used.
"""

from fedket.data.batches import (
    PaddedClients,
    gather_padded,
    pack_partition,
    padded_rows,
    shared_length,
)
from fedket.data.census import check_partition, label_counts
from fedket.data.partition import by_group, dirichlet, iid, label_shards, quantity_skew
from fedket.data.scale import scale_features
from fedket.data.sources import data_directory, load_dataset

__all__ = [
    "PaddedClients",
    "by_group",
    "check_partition",
    "data_directory",
    "dirichlet",
    "gather_padded",
    "iid",
    "label_counts",
    "label_shards",
    "load_dataset",
    "pack_partition",
    "padded_rows",
    "quantity_skew",
    "scale_features",
    "shared_length",
]
