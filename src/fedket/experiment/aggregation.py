"""The reducer that an experiment names, with what it does when key runs short."""

from collections.abc import Callable
from functools import partial

import numpy as np

from fedket.errors import ConfigError
from fedket.experiment.check import threshold_of
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.config_secure import AggregationConfig
from fedket.keys import OsRandomSource
from fedket.rng import Purpose
from fedket.secure import (
    Degree,
    Demand,
    Option,
    choose_degree,
    kept_values,
    masked_demand,
    masked_sum,
    quantised_sum,
    random_k,
    shared_mask_demand,
    shared_mask_sum,
    starving_sum,
)
from fedket.types import Contribution, KeySource, PacedKeySource, Reducer, RoundContext, Traffic

FRACTIONS = (1 / 2, 1 / 4, 1 / 8)
"""Parts of the coordinates that `sparsify` tries."""

ACTIONS = ("share", "hold", "upload", "open")
"""Phases of shared masks in which a simulated client may fall silent."""


def build_reducer(
    config: ExperimentConfig, cohort: int, keys: KeySource | None = None
) -> Reducer | None:
    """How contributions become a sum; None is the engine's own floating-point sum.

    Args:
        config: The experiment.
        cohort: Clients per round.
        keys: The open key source; without it only `os_random` runs.
    """
    how = config.aggregation
    if how.kind == "plain":
        return None
    if how.kind == "quantised":
        return quantised_sum(how.bits, how.word, how.clip)
    if keys is None and config.keys.source == "os_random":
        keys = OsRandomSource()
    if keys is None:
        return _closed
    if not isinstance(keys, PacedKeySource):
        return _sum(how, config, cohort, keys)
    options = _options(config, cohort, keys)
    return starving_sum(options, keys, config.keys.deadline_s, config.keys.training_s)


def demand_of(how: AggregationConfig, cohort: int) -> Demand:
    """The key that a round of a masked aggregation takes."""
    if how.kind == "shared_masks":
        threshold = threshold_of(how, cohort)
        return shared_mask_demand(how.bits, how.colluders, threshold, how.malicious)
    degree: Degree = how.degree or "auto"
    return masked_demand(
        how.bits, how.word, degree=degree, bad_fraction=how.bad_fraction, mac=how.mac
    )


def _sum(how: AggregationConfig, config: ExperimentConfig, cohort: int, keys: KeySource) -> Reducer:
    if how.kind == "shared_masks":
        return shared_mask_sum(
            how.bits,
            how.clip,
            keys,
            colluders=how.colluders,
            threshold=threshold_of(how, cohort),
            malicious=how.malicious,
            run_id=config.name,
            answers=partial(answers, config.seed, how.dropout) if how.dropout else None,
        )
    return masked_sum(
        how.bits,
        how.word,
        how.clip,
        keys,
        degree=how.degree or "auto",
        bad_fraction=how.bad_fraction,
        mac=how.mac,
        run_id=config.name,
    )


def _options(config: ExperimentConfig, cohort: int, keys: KeySource) -> list[Option]:
    """The configured way to hold a round, then those of the starvation policy.

    Each step goes on from what the steps before it have given up.
    """
    how = config.aggregation
    options = [_option("", how, config, cohort, keys)]
    name: list[str] = []
    for step in config.keys.starvation:
        if step == "lower_bits":
            while (fewer := how.bits // 2) >= 8:
                how = how.model_copy(update={"bits": fewer})
                options.append(_option(f"{fewer} bits", how, config, cohort, keys))
            name = [f"{how.bits} bits"]
        elif step == "smaller_degree":
            how = how.model_copy(update={"degree": _half_degree(how, cohort)})
            name.append(f"degree {how.degree}")
            options.append(_option(", ".join(name), how, config, cohort, keys))
        else:
            options += _sparser(", ".join(name), how, config, cohort, keys)
    return options


def _option(
    name: str, how: AggregationConfig, config: ExperimentConfig, cohort: int, keys: KeySource
) -> Option:
    return Option(name, _sum(how, config, cohort, keys), demand_of(how, cohort))


def _sparser(
    name: str, how: AggregationConfig, config: ExperimentConfig, cohort: int, keys: KeySource
) -> list[Option]:
    whole = _option(name, how, config, cohort, keys)
    return [
        Option(
            f"{name}, 1/{round(1 / part)} of the coordinates".removeprefix(", "),
            random_k(whole.reduce, part),
            whole.demand,
            _kept(part),
        )
        for part in FRACTIONS
    ]


def _kept(fraction: float) -> Callable[[int], int]:
    return lambda num_values: kept_values(num_values, fraction)


def _half_degree(how: AggregationConfig, cohort: int) -> int:
    degree = choose_degree(how.degree or "auto", cohort, how.bad_fraction)
    return max(2, degree // 4 * 2)


def answers(seed: int, dropout: float, round_num: int, client: int, action: str) -> bool:
    """Whether a simulated client still answers; the phase it falls silent in is drawn."""
    rng = np.random.default_rng([seed, int(Purpose.SILENCE), round_num, client])
    silent, since = rng.random() < dropout, int(rng.integers(len(ACTIONS)))
    return not silent or action not in ACTIONS[since:]


def _closed(
    contributions: Contribution,  # noqa: ARG001 - nothing is read
    context: RoundContext,
) -> tuple[Contribution, Traffic]:
    raise ConfigError(
        f"round {context.round_num} is masked but no key source is open; open one with "
        "`with open_keys(config) as keys` and pass it to build_experiment"
    )
