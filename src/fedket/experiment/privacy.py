"""What an experiment promises of privacy, before it runs and while it does.

Cohorts are drawn in public, so every client pays in full for the rounds that it is drawn for, and
ε is that of the client that has been drawn most. A run notes each round before it begins, in
`privacy.jsonl`: a round that is lost, or run again after a crash, is paid for all the same.
"""

import json
import math
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from fedket.errors import BudgetSpentError, CheckpointError, ConfigError
from fedket.experiment.config import ExperimentConfig
from fedket.federated.cohort import sample_cohort
from fedket.files import append_line, write_atomic
from fedket.record import PrivacyFacts
from fedket.section import Context
from fedket.secure import Protocol
from fedket.secure.privacy import (
    ORDERS,
    Mechanism,
    Plan,
    epsilon_of,
    plan_of,
    private_protocol,
    private_sum,
)
from fedket.secure.privacy.kinds import PrivacyConfig
from fedket.types import Reducer

T = TypeVar("T")

SPENT = "privacy.jsonl"


def rounds_each(config: ExperimentConfig) -> int:
    """Rounds of a run that one client takes part in, at most."""
    plan = config.federation
    return _rounds_each(config.seed, plan.rounds, config.num_clients, config.cohort_size)


@lru_cache(maxsize=64)
def _rounds_each(seed: int, rounds: int, num_clients: int, cohort_size: int) -> int:
    if cohort_size == num_clients:
        return rounds
    counts = np.zeros(num_clients, np.int64)
    for round_num in range(1, rounds + 1):
        counts[sample_cohort(seed, round_num, num_clients, cohort_size)] += 1
    return int(counts.max())


def mechanism_of(config: ExperimentConfig, context: Context) -> Mechanism | None:
    """What `[privacy]` asks for; None if there is no such table.

    Raises:
        ConfigError: It does not suit the experiment.
    """
    if config.privacy is None:
        return None
    if not isinstance(config.privacy, PrivacyConfig):
        raise ConfigError(
            f"privacy kind `{config.privacy.kind}` should be a subclass of one of fedket's own"
        )
    config.privacy.check(context)
    mechanism: Mechanism = config.privacy.build(context)
    if mechanism.distributed and config.keys.starvation:
        raise ConfigError(
            "keys.starvation changes the words of a round, for which the noise of [privacy] was "
            "worked out; leave it out"
        )
    return mechanism


def with_noise(config: ExperimentConfig, made: T, context: Context) -> Protocol | Reducer | T:
    """What an aggregation has made, with the noise of `[privacy]`.

    Raises:
        ConfigError: They do not go together.
    """
    mechanism = mechanism_of(config, context)
    if mechanism is None:
        return made
    if isinstance(made, Protocol):
        return private_protocol(made, mechanism)
    if made is None and not mechanism.distributed:
        return private_sum(mechanism)
    fit = "noise of the clients together" if made is None else "noise"
    raise ConfigError(
        f'privacy.kind = "{mechanism.kind}" is {fit} on a sum of words, which '
        f'aggregation.kind = "{config.aggregation.kind}" does not take; use "pairwise_masks", '
        '"shared_masks" or "quantised", or without words privacy.kind = "gaussian" or '
        '"local_gaussian" and aggregation.kind = "plain"'
    )


class Promise:
    """What rounds of an experiment cost.

    Args:
        config: Of an experiment with `[privacy]`.
        protocol: Its aggregation, if that takes words.
        context: What is known of it.
        num_values: Values of a contribution.

    Raises:
        ConfigError: Words are too small, no noise is enough, or the extra `dp` is not installed.
    """

    def __init__(
        self, config: ExperimentConfig, protocol: Protocol | None, context: Context, num_values: int
    ) -> None:
        mechanism, section = mechanism_of(config, context), config.privacy
        if mechanism is None or not isinstance(section, PrivacyConfig):
            raise ConfigError("there is no [privacy]")
        self._config, self._protocol, self._section = config, protocol, section
        self._mechanism, self._num_values = mechanism, num_values
        self.plan, self.budget = self._plan(mechanism), section.epsilon

    def _plan(self, mechanism: Mechanism) -> Plan:
        return plan_of(mechanism, self._protocol, self._num_values)

    def facts(self) -> PrivacyFacts:
        """What is known before the first round."""
        each, section, mechanism = rounds_each(self._config), self._section, self._mechanism
        return PrivacyFacts(
            kind=mechanism.kind,
            clip=mechanism.clip,
            noise_multiplier=self.plan.noise_multiplier,
            epsilon=epsilon_of(each * self.plan.curve, section.delta),
            delta=section.delta,
            rounds_each=each,
            steps_to_clip=mechanism.clip * self.plan.scale,
        )

    def curve_of(self, noise_multiplier: float) -> Any:
        """What a round costs, or has cost, with some noise."""
        return self._plan(self._mechanism._replace(noise=noise_multiplier)).curve

    def spending(self, directory: Path) -> "Spending":
        """The account of a run in a directory."""
        return Spending(self._config, self, directory / SPENT)


class Spending:
    """What a run has spent so far, on disk before it is spent.

    Args:
        config: Its experiment.
        promise: What its rounds cost.
        path: Where rounds are noted.

    Raises:
        CheckpointError: The file is damaged.
    """

    def __init__(self, config: ExperimentConfig, promise: Promise, path: Path) -> None:
        self._config, self._promise, self._path = config, promise, path
        self._spent = np.zeros((config.num_clients, len(ORDERS)))
        self._delta = promise.facts().delta
        if path.exists():
            self._read()

    def begin(self, round_num: int) -> None:
        """Pay for a round.

        Raises:
            BudgetSpentError: It would cost more than there is left; nothing has been paid.
        """
        noise, budget = self._promise.plan.noise_multiplier, self._promise.budget
        after = self._after(round_num, noise)
        if budget is not None and (cost := epsilon_of(after.max(axis=0), self._delta)) > budget:
            raise BudgetSpentError(
                f"round {round_num} would bring epsilon to {cost:.4g} at delta {self._delta:g}, "
                f"privacy.epsilon is {budget:g}: the rounds before it are kept; a new run with "
                "more noise or fewer rounds stays within it"
            )
        append_line(self._path, json.dumps({"round": round_num, "noise_multiplier": noise}))
        self._spent = after

    def epsilon(self) -> float | None:
        """ε of the client that has taken part most; None without noise."""
        epsilon = epsilon_of(self._spent.max(axis=0), self._delta)
        return epsilon if math.isfinite(epsilon) else None

    def _after(self, round_num: int, noise: float) -> np.ndarray:
        config, spent = self._config, self._spent.copy()
        cohort = sample_cohort(config.seed, round_num, config.num_clients, config.cohort_size)
        spent[cohort] += self._promise.curve_of(noise)
        return spent

    def _read(self) -> None:
        """Take in rounds that were paid for; one that was not noted whole did not begin."""
        text = self._path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            write_atomic(self._path, whole)
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                noted = json.loads(line)
                self._spent = self._after(int(noted["round"]), float(noted["noise_multiplier"]))
            except (ValueError, KeyError, TypeError) as error:
                raise CheckpointError(
                    f"`{self._path}` is damaged in line {number}: what the run has spent is not "
                    "known any more; start a new one"
                ) from error
