"""Where a mechanism joins: a protocol's two halves, or a sum of floats in this process."""

from collections.abc import Sequence
from functools import partial

import jax
import numpy as np

from fedket.secure.in_process import check_clients
from fedket.secure.privacy.coder import coder_of, private_coder, reach_of
from fedket.secure.privacy.mechanism import Mechanism, Plan, plan_noise
from fedket.secure.protocol import Protocol
from fedket.secure.sides import count_values
from fedket.traffic import Traffic
from fedket.types import Contribution, Reducer, RoundContext

FLOATS = 2**52
"""Reach of a sum that is not taken in words: what float64 holds exactly."""


def private_protocol(protocol: Protocol, mechanism: Mechanism) -> Protocol:
    """Return a protocol whose clients clip and noise, and whose server knows how to undo it.

    A sum over fewer clients than `mechanism.survivors` is not opened: clients refuse, the round is
    lost. There is no cheaper way to hold a round, as noise is worked out for these words.
    """

    def nothing(step: str, num_clients: int) -> Sequence[tuple[str, Protocol]]:  # noqa: ARG001
        return []

    return protocol._replace(
        coder=partial(private_coder, mechanism),
        private=True,
        least=max(protocol.least, mechanism.survivors),
        cheaper=nothing,
    )


def private_sum(mechanism: Mechanism) -> Reducer:
    """Return the reducer that clips, noises and adds up in this process.

    The server sees each update as its client sends it: with `local_gaussian` under all of its
    noise, with `gaussian` as it is. As every reducer, it is given only finite contributions.
    """

    def reduce(contributions: Contribution, context: RoundContext) -> tuple[Contribution, Traffic]:
        check_clients(contributions, context)
        arrays = jax.tree.map(np.asarray, contributions)
        template = jax.tree.map(lambda leaf: leaf[0], arrays)
        coder = coder_of(mechanism, context, count_values(template), FLOATS)
        total, clipped = np.zeros(count_values(template), np.int64), 0
        for row, client_id in enumerate(context.client_ids):
            one = coder.encode(client_id, jax.tree.map(lambda leaf, row=row: leaf[row], arrays))
            total += one.integers
            clipped += one.clipped_whole
        num_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(arrays))
        traffic = Traffic(num_bytes, 0, num_clipped_updates=clipped)
        return coder.decode(template, total), traffic

    return reduce


def plan_of(mechanism: Mechanism, protocol: Protocol | None, num_values: int) -> Plan:
    """Return the noise of a protocol's sums, or of sums of floats where there is none."""
    cohort = mechanism.cohort
    reach = FLOATS
    if protocol is not None:
        reach = reach_of(protocol.quantiser([1 / cohort] * cohort), cohort)
    return plan_noise(mechanism, num_values, reach)
