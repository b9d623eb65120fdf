"""The reducer that an experiment names, with what it does when key runs short."""

import math
from functools import partial

import numpy as np

from fedket.experiment.config import ExperimentConfig
from fedket.keys import OsRandomSource
from fedket.keys.source_kinds import OsRandomConfig
from fedket.rng import Purpose
from fedket.secure import (
    Degree,
    Protocol,
    options_of,
    pairwise_protocol,
    quantised_protocol,
    reduce_in_process,
    round_cost,
    shared_masks_protocol,
    starving_sum,
)
from fedket.secure.protocol import RoundCost, everybody_answers
from fedket.types import KeySource, PacedKeySource, Reducer, RoundContext, Strategy

ACTIONS = ("share", "hold", "upload", "open")
"""Phases of shared masks in which a simulated client may fall silent."""


def protocol_of(config: ExperimentConfig) -> Protocol | None:
    """How contributions become a sum; None is the engine's own floating-point sum."""
    how = config.aggregation
    if how.kind == "plain":
        return None
    if how.kind == "quantised":
        return quantised_protocol(how.bits, how.clip, modulus=how.word)
    if how.kind == "masked":
        degree: Degree = how.degree or "auto"
        return pairwise_protocol(
            how.bits,
            how.clip,
            modulus=how.word,
            degree=degree,
            corrupt_fraction=how.bad_fraction,
            authenticate=how.mac,
        )
    return shared_masks_protocol(
        how.bits,
        how.clip,
        colluders=how.colluders,
        threshold=how.threshold or max(how.colluders + 2, math.ceil(3 * config.cohort_size / 4)),
        malicious=how.malicious,
        answers=partial(answers, config.seed, how.dropout) if how.dropout else everybody_answers,
    )


def build_reducer(
    config: ExperimentConfig, strategy: Strategy, keys: KeySource | None = None
) -> Reducer | None:
    """The experiment's reducer; None is the engine's own floating-point sum.

    Args:
        config: The experiment.
        strategy: Whose contributions are summed.
        keys: The open key source; without it only `os_random` takes part in a round.

    Raises:
        ConfigError: The strategy's contributions have no bounds, which the protocol needs.
    """
    protocol = protocol_of(config)
    if protocol is None:
        return None
    strategy.bounds(protocol.clip)
    if keys is None and isinstance(config.keys, OsRandomConfig):
        keys = OsRandomSource()
    if protocol.takes_key and isinstance(keys, PacedKeySource):
        how = config.keys
        options = options_of(protocol, how.starvation, config.cohort_size)
        return starving_sum(options, keys, how.deadline_s, how.between_s, config.name)
    return reduce_in_process(protocol, keys, config.name)


def cost_of(config: ExperimentConfig, num_values: int) -> RoundCost | None:
    """What a round of the first clients costs; None where updates are added as they are."""
    protocol, cohort = protocol_of(config), config.cohort_size
    context = RoundContext(config.seed, 1, tuple(range(cohort)), (1 / cohort,) * cohort)
    return protocol and round_cost(protocol, context, num_values)


def answers(seed: int, dropout: float, round_num: int, client: int, action: str) -> bool:
    """Whether a simulated client still answers; the phase it falls silent in is drawn."""
    rng = np.random.default_rng([seed, int(Purpose.SILENCE), round_num, client])
    silent, since = rng.random() < dropout, int(rng.integers(len(ACTIONS)))
    return not silent or action not in ACTIONS[since:]
