"""Who holds which training samples: five ways to deal them to clients.

Every function returns one sorted int64 index array per client; together they hold every sample
exactly once. All take `labels` (the class of each sample, >= 0), `num_samples` or `groups`;
`min_samples`, the fewest a client may hold; and `rng`: the same generator state gives the same
partition. All raise `PartitionError` at fewer samples than num_clients * min_samples. Inside, a
partition is an array `owner` (one client per sample), because that is what can be computed,
repaired and sorted without a loop over clients.
"""

import heapq
from itertools import pairwise
from typing import Any

import numpy as np
from jaxtyping import Int64, Integer, Shaped

from fedket.data.repair import excess_and_deficit, move_to_small_clients
from fedket.errors import PartitionError
from fedket.types import Partition

MAX_ALPHA = 1e12
"""Proportions drawn with a larger concentration are uniform to float precision anyway."""


def iid(
    num_samples: int, *, num_clients: int, rng: np.random.Generator, min_samples: int = 1
) -> Partition:
    """Deal shuffled samples evenly: client sizes differ by at most one."""
    _check(num_samples, num_clients, min_samples, rng)
    owner = np.repeat(np.arange(num_clients), _even_sizes(num_samples, num_clients))
    return _collect(rng.permutation(owner), num_clients)


def dirichlet(
    labels: Integer[np.ndarray, " samples"],
    *,
    num_clients: int,
    alpha: float,
    rng: np.random.Generator,
    min_samples: int = 1,
) -> Partition:
    """Give clients skewed label mixtures (Yurochkin et al. 2019, arXiv:1905.12022).

    The samples of each class are split in proportions p ~ Dir(alpha, ..., alpha) over the clients.
    Unlike the usual code, which redraws until every client has enough samples, clients below
    min_samples are topped up from the largest ones (see `fedket.data.repair`): one draw, always
    ends.

    `alpha` is the concentration, above 0: near 0 each class goes to one client, a large one
    approaches `iid`.
    """
    _check(len(labels), num_clients, min_samples, rng)
    shuffled = rng.permutation(len(labels))
    order = _sort_by_label(shuffled, labels)
    owner = np.empty(len(labels), np.int64)
    for members in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1):
        sizes = _dirichlet_sizes(len(members), num_clients, alpha, rng)
        owner[members] = np.repeat(np.arange(num_clients), sizes)
    owner = move_to_small_clients(owner, num_clients, min_samples, shuffled)
    return _collect(owner, num_clients)


def label_shards(
    labels: Integer[np.ndarray, " samples"],
    *,
    num_clients: int,
    shards_per_client: int,
    rng: np.random.Generator,
    min_samples: int = 1,
) -> Partition:
    """Give each client a few runs of the label-sorted samples.

    The pathological split of McMahan et al. 2017 (arXiv:1602.05629, section 3), for any number of
    samples: client sizes differ by at most one, shard sizes within a client too. A client sees one
    label per shard, and one more for each class boundary that a shard crosses.

    `shards_per_client` is 1 or more, and takes as many samples.
    """
    if shards_per_client < 1:
        raise PartitionError(f"shards_per_client must be at least 1, got {shards_per_client}")
    _check(len(labels), num_clients, max(min_samples, shards_per_client), rng)
    totals = _even_sizes(len(labels), num_clients)
    shard_sizes = (totals[:, None] + np.arange(shards_per_client)) // shards_per_client
    shards = rng.permutation(num_clients * shards_per_client)
    owner = np.empty(len(labels), np.int64)
    order = _sort_by_label(rng.permutation(len(labels)), labels)
    owner[order] = np.repeat(shards // shards_per_client, shard_sizes.ravel()[shards])
    return _collect(owner, num_clients)


def quantity_skew(
    num_samples: int,
    *,
    num_clients: int,
    alpha: float,
    rng: np.random.Generator,
    min_samples: int = 1,
) -> Partition:
    """Deal shuffled samples in sizes ~ Dir(alpha) (Li et al. 2022, arXiv:2102.02079, IV-D).

    Clients below min_samples are topped up from the largest ones.

    `alpha` is the concentration, above 0: near 0 one client holds nearly all, a large one
    approaches `iid`.
    """
    _check(num_samples, num_clients, min_samples, rng)
    sizes = _dirichlet_sizes(num_samples, num_clients, alpha, rng)
    excess, deficit = excess_and_deficit(sizes, min_samples)
    owner = np.repeat(np.arange(num_clients), sizes - excess + deficit)
    return _collect(rng.permutation(owner), num_clients)


def by_group(
    groups: Shaped[np.ndarray, " samples"],
    *,
    num_clients: int,
    rng: np.random.Generator,
    min_samples: int = 1,
) -> Partition:
    """Deal whole groups (subjects, sites) to clients, never splitting one.

    Longest processing time first (Graham 1969): the largest group left goes to the client with the
    fewest samples, groups of one size in random order.

    `groups` has the owner of each sample, integers or strings: at least as many as clients.
    """
    _check(len(groups), num_clients, min_samples, rng)
    names, group_of, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    if len(names) < num_clients:
        raise PartitionError(
            f"{num_clients} clients need at least as many groups, the data has {len(names)}; "
            "use fewer clients"
        )
    client_of, smallest = _balance(sizes, num_clients, rng)
    if smallest < min_samples:
        raise PartitionError(
            f"dealing whole groups leaves a client with {smallest} samples, min_samples is "
            f"{min_samples}; use fewer clients or lower min_samples"
        )
    return _collect(client_of[group_of], num_clients)


def _check(num_samples: int, num_clients: int, min_samples: int, rng: Any) -> None:
    if not isinstance(rng, np.random.Generator):
        raise PartitionError(f"rng is {rng!r}; make a generator: numpy.random.default_rng(0)")
    if num_clients < 1 or min_samples < 0 or num_samples < 1:
        raise PartitionError(
            f"got {num_samples} samples, {num_clients} clients, min_samples {min_samples}; use at "
            "least one sample and one client, and min_samples of 0 or more"
        )
    if num_samples < num_clients * min_samples:
        raise PartitionError(
            f"{num_clients} clients with {min_samples} or more samples each need "
            f"{num_clients * min_samples}, the data has {num_samples}; use fewer clients"
        )


def _even_sizes(num_samples: int, num_clients: int) -> Int64[np.ndarray, " clients"]:
    return (num_samples + np.arange(num_clients)) // num_clients


def _dirichlet_sizes(
    num_samples: int, num_clients: int, alpha: float, rng: np.random.Generator
) -> Int64[np.ndarray, " clients"]:
    """Split samples in proportions ~ Dir(alpha), each size off its share by less than one.

    The random offset (systematic sampling) makes the sizes unbiased: plain rounding would give
    the samples of every rare class to the same clients.
    """
    if not 0 < alpha < np.inf:
        raise PartitionError(f"alpha must be positive and finite, got {alpha}")
    shares = rng.dirichlet(np.full(num_clients, min(alpha, MAX_ALPHA)))
    cuts = np.floor(np.cumsum(shares) * num_samples + rng.random()).astype(np.int64)
    cuts[-1] = num_samples
    return np.diff(np.minimum(cuts, num_samples), prepend=0)


def _sort_by_label(
    samples: Int64[np.ndarray, " samples"], labels: Integer[np.ndarray, " samples"]
) -> Int64[np.ndarray, " samples"]:
    """Sort shuffled samples by label; within a label they stay shuffled."""
    if labels.min() < 0:
        raise PartitionError(f"labels must be 0 or more, got {labels.min()}")
    ordered: np.ndarray = samples[_argsort(labels[samples])]
    return ordered


def _argsort(ids: Integer[np.ndarray, " samples"]) -> Int64[np.ndarray, " samples"]:
    """Sort ids >= 0 stably; numpy sorts 8- and 16-bit integers in linear time."""
    return np.argsort(ids.astype(np.min_scalar_type(int(ids.max()))), kind="stable")


def _collect(owner: Int64[np.ndarray, " samples"], num_clients: int) -> Partition:
    order = _argsort(owner)
    bounds = np.cumsum(np.bincount(owner, minlength=num_clients)).tolist()
    return [order[start:end] for start, end in pairwise([0, *bounds])]


def _balance(
    sizes: Int64[np.ndarray, " groups"], num_clients: int, rng: np.random.Generator
) -> tuple[Int64[np.ndarray, " groups"], int]:
    """Return the client of each group and the samples of the smallest client."""
    order = rng.permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    heap = [(0, client) for client in range(num_clients)]
    client_of = np.empty(len(sizes), np.int64)
    for group in order.tolist():
        load, client = heap[0]
        client_of[group] = client
        heapq.heapreplace(heap, (load + int(sizes[group]), client))
    return client_of, heap[0][0]
