"""Statistics of all clients' samples as sums of a masking protocol, in one process.

The first round counts labels, missing values and where values are; the bins of every further one
follow from those before, and the last measures. One round is enough where a range is agreed. All
are sums over the same clients: two over different ones would show what one of them has.
"""

from collections.abc import Callable, Sequence

import jax
import numpy as np

from fedket.errors import ConfigError, ProtocolError
from fedket.keys import OsRandomSource
from fedket.secure import Protocol, pairwise_protocol, reduce_in_process
from fedket.secure.encoding import Coder
from fedket.secure.quantise import Quantised, Quantiser
from fedket.secure.words import Integers
from fedket.statistics.grids import even_grid, first_grid, next_grid
from fedket.statistics.pooled import SMALLEST, Statistics, summarise
from fedket.statistics.tally import Grid, Layout, Tally, layout_of, read_tally, tally
from fedket.types import Contribution, Dataset, KeySource, Partition, RoundContext

ROUNDS = 4
"""Without an agreed range."""

WORD_BITS = 32
"""Bits of the protocol's values; tallies are integers of up to 31 bits, sums included."""


def exact(protocol: Protocol) -> Protocol:
    """Return a protocol of `WORD_BITS` bits that sums integers as they are.

    A contribution is a vector of integers from 0 on, whose sum stays below 2^31.
    """
    return protocol._replace(coder=_integer_coder)


def template_of(layout: Layout) -> Contribution:
    """Shape and type of a contribution."""
    return jax.ShapeDtypeStruct((layout.num_words,), np.dtype(np.int64))


def federated_statistics(
    dataset: Dataset,
    partition: Partition,
    protocol: Protocol | None = None,
    key_source: KeySource | None = None,
    *,
    bounds: tuple[float, float] | None = None,
    columns: Sequence[str] = (),
    smallest: int = SMALLEST,
    run_id: str = "statistics",
) -> Statistics:
    """What the training samples of all clients are like; the server sees sums over all of them.

    Args:
        dataset: Samples.
        partition: Which of them each client has.
        protocol: How sums are masked, with 32 bits per value; pairwise masks by default.
        key_source: All ends of all links; by default this machine's generator, not QKD.
        bounds: Smallest and largest value of all columns, if that is agreed: one round is enough.
        columns: Names of the features.
        smallest: Smallest count that is told, see `fedket.statistics.pooled`.
        run_id: Name of the run; key is used once in it.

    Raises:
        ConfigError: There are too few clients, a range is empty, or names are not the columns'.
        DataError: Samples have too many features beside a number to predict.
    """
    y = dataset.y_train
    layout = layout_of(dataset.x_train.shape[1:], dataset.num_classes, dataset.regression)
    check_asked(layout, columns, smallest)
    summed = exact(protocol or pairwise_protocol(WORD_BITS, 1.0))
    clients, num = tuple(range(len(partition))), len(partition)
    if num < summed.least:
        raise ConfigError(f"{num} clients: a sum hides nothing with fewer than {summed.least}")
    reduce = reduce_in_process(summed, key_source or OsRandomSource(), run_id)

    def pool(round_num: int, grid: Grid) -> Tally:
        rows = [tally(dataset.x_train[own], y[own], layout, grid) for own in partition]
        context = RoundContext(0, round_num, clients, (1 / num,) * num)
        total, _ = reduce(np.stack(rows), context)
        return read_tally(np.asarray(total), layout)

    grid, counted, measured = ask(layout, pool, bounds, smallest)
    return summarise(
        layout,
        grid,
        counted,
        measured,
        name=dataset.name,
        sites=num,
        columns=columns,
        class_names=dataset.class_names,
        smallest=smallest,
    )


def check_asked(layout: Layout, columns: Sequence[str], smallest: int) -> None:
    """Check what is asked for.

    Raises:
        ConfigError: Names are not as many as features, or counts of single samples would be told.
    """
    if columns and len(columns) != layout.features:
        raise ConfigError(f"{len(columns)} names for {layout.features} features; name each one")
    if smallest < 2:
        raise ConfigError(f"counts from {smallest} on would show single samples; use 2 or more")


def ask(
    layout: Layout,
    pool: Callable[[int, Grid], Tally],
    bounds: tuple[float, float] | None,
    smallest: int,
) -> tuple[Grid, Tally, Tally]:
    """Hold the rounds of statistics.

    Args:
        layout: Of all sites.
        pool: (round, what is asked for) -> the sum over all sites.
        bounds: An agreed range of all values, or None.
        smallest: Smallest count that may matter.

    Returns:
        The grid that values were measured on; sums of the round that counted, and of the one that
        measured.
    """
    if bounds is not None:
        grid = even_grid(layout, *bounds)
        only = pool(1, grid)
        return grid, only, only
    grid = first_grid(layout)
    found = counted = pool(1, grid)
    for round_num in range(2, ROUNDS + 1):
        last = round_num == ROUNDS
        grid = next_grid(grid, found, smallest * layout.per_sample, measured=last)
        found = pool(round_num, grid)
    return grid, counted, found


def _integer_coder(
    quantiser: Callable[[Sequence[float]], Quantiser],  # noqa: ARG001
    clip: float,  # noqa: ARG001
    context: RoundContext,
    num_values: int,
) -> Coder:
    """Integers as they are; arguments as in `fedket.secure.encoding.quantising_coder`."""
    most = (2 ** (WORD_BITS - 1) - 1) // len(context.client_ids)

    def encode(client_id: int, contribution: Contribution) -> Quantised:
        integers = np.asarray(contribution)
        if integers.shape != (num_values,) or integers.min() < 0 or integers.max() > most:
            raise ProtocolError(
                f"client {client_id}: {num_values} integers from 0 to {most} can be summed over "
                f"{len(context.client_ids)} clients, others are there; use fewer samples or clients"
            )
        return Quantised(integers, 0)

    def decode(template: Contribution, total: Integers) -> Contribution:  # noqa: ARG001
        return total

    return Coder(encode, decode)
