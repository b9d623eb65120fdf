"""Ragged clients as arrays of fixed shape: indices packed back to back, padded when gathered.

A client's samples are `indices[offsets[c]:offsets[c + 1]]`; a padded batch of clients repeats a
valid sample where a client has no more, with `mask` False there.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, Int32, Shaped

from fedket.errors import PartitionError
from fedket.types import Partition


class PaddedClients(NamedTuple):
    """A partition as three flat arrays.

    Attributes:
        indices: Sample indices of all clients, back to back, shape (total,), int32.
        offsets: Start of each client and the end, shape (clients + 1,), int32.
        num_samples: Samples of each client, shape (clients,), int32.
        max_samples: Largest of them, a Python int: it makes shapes.
    """

    indices: Int32[Array | np.ndarray, " total"]
    offsets: Int32[Array | np.ndarray, " bounds"]
    num_samples: Int32[Array | np.ndarray, " clients"]
    max_samples: int


def pack_partition(partition: Partition) -> PaddedClients:
    """Pack a partition.

    Args:
        partition: One index array per client; clients may be empty, but not all of them.

    Raises:
        PartitionError: There are no samples, or indices beyond int32.
    """
    total = sum(map(len, partition))
    if not total:
        raise PartitionError(f"none of {len(partition)} clients has a sample; deal some first")
    indices = np.concatenate(partition)
    if max(total, int(indices.max())) >= 2**31:
        raise PartitionError(f"{total} samples or index {indices.max()} do not fit 32 bits")
    num_samples = np.fromiter(map(len, partition), np.int32, len(partition))
    return PaddedClients(
        indices=indices.astype(np.int32),
        offsets=np.concatenate([[0], np.cumsum(num_samples)]).astype(np.int32),
        num_samples=num_samples,
        max_samples=int(num_samples.max()),
    )


def gather_padded(
    x: Shaped[Array | np.ndarray, "samples ..."],
    y: Int[Array | np.ndarray, " samples"],
    packed: PaddedClients,
    client_ids: Int[Array | np.ndarray, " cohort"],
    *,
    max_samples: int | None = None,
) -> tuple[
    Shaped[Array, "cohort length ..."],
    Int[Array, "cohort length"],
    Bool[Array, "cohort length"],
]:
    """Gather the samples of some clients, padded to one length; traceable under `jax.jit`.

    Args:
        x: Features of all samples, shape (samples, ...). Under `jit` pass a JAX array as an
            argument: a closed-over one becomes a constant of the program.
        y: Labels of all samples.
        packed: The packed partition. As an argument of a jitted function its `max_samples` becomes
            a tracer too; then pass `max_samples`.
        client_ids: Which clients, in range; may be traced.
        max_samples: Length to pad to, static; None means `packed.max_samples`. Of a client with
            more samples the first so many are taken.

    Returns:
        Features (cohort, length, ...), labels (cohort, length), and a mask that is False on
        padding. Padding repeats a valid sample (the client's last one if it has any).
    """
    length = packed.max_samples if max_samples is None else max_samples
    rows, mask = padded_rows(packed, client_ids, length)
    return jnp.asarray(x)[rows], jnp.asarray(y)[rows], mask


def padded_rows(
    packed: PaddedClients, client_ids: Int[Array | np.ndarray, " *cohort"], length: int
) -> tuple[Int[Array, "*cohort length"], Bool[Array, "*cohort length"]]:
    """Which samples some clients hold, padded to one length; traceable.

    Returns:
        Sample indices and a mask, as `gather_padded` describes them.
    """
    indices, ids = jnp.asarray(packed.indices), jnp.asarray(client_ids)
    count = jnp.asarray(packed.num_samples)[ids][..., None]
    position = jnp.arange(length)
    inside = jnp.minimum(position, jnp.maximum(count - 1, 0))
    flat = jnp.asarray(packed.offsets)[ids][..., None] + inside
    return indices[jnp.minimum(flat, len(indices) - 1)], position < count


def shared_length(num_samples: Int[Array | np.ndarray, " clients"]) -> int:
    """Length to pad clients to, the same for most partitions that chance makes alike.

    Where chance decides how many samples a client holds, this is the power of two that holds the
    largest client and twice the mean, so that another seed seldom asks for another shape. Clients
    of equal size are not padded.
    """
    largest = int(num_samples.max())
    if largest - int(num_samples.min()) <= 1:
        return largest
    return 1 << (max(largest, 2 * int(num_samples.mean())) - 1).bit_length()
