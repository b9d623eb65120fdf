"""What an experiment promises of privacy, before it runs and while it does.

Cohorts are drawn in public, so every client pays in full for the rounds that it is drawn for, and
ε is that of the client that has been drawn most. A run notes each round before it begins, in
`privacy.jsonl`: a round that is lost, or run again after a crash, is paid for all the same.
"""

import json
import math
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np

from fedket.errors import BudgetSpentError, CheckpointError, ConfigError, UserCodeError
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.section import build
from fedket.facts import PrivacyFacts
from fedket.federated.adaptive_clip import adaptive_clip
from fedket.federated.cohort import sample_cohort
from fedket.federated.dp_sgd import private_gradient
from fedket.federated.local import Gradient
from fedket.files import append_line, write_atomic
from fedket.section import Context
from fedket.secure import Protocol
from fedket.secure.privacy import (
    Budget,
    Curve,
    ExampleNoise,
    Mechanism,
    Plan,
    epsilon_of,
    gaussian_curve,
    noise_for,
    plan_of,
    private_protocol,
    private_sum,
)
from fedket.secure.privacy.kinds import PrivacyConfig, SumNoiseConfig
from fedket.secure.privacy.mechanism import VOTE
from fedket.types import Reducer, Strategy

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


def noise_of(config: ExperimentConfig, context: Context) -> Mechanism | ExampleNoise | None:
    """What `[privacy]` asks for; None if there is no such table.

    Raises:
        ConfigError: It does not suit the experiment.
        UserCodeError: It is a user's own, and fails or makes something else.
    """
    section = config.privacy
    if section is None:
        return None
    if not isinstance(section, PrivacyConfig):
        raise ConfigError(f"privacy kind `{section.kind}` should be a subclass of one of fedket's")
    noise: object = build(section, context, object)
    if not isinstance(noise, Mechanism | ExampleNoise):
        raise UserCodeError(
            f"`build` of {section.kind} returned a {type(noise).__name__}; it should return a "
            "fedket.privacy.Mechanism or ExampleNoise"
        )
    if isinstance(noise, Mechanism) and noise.distributed and config.keys.starvation:
        raise ConfigError(
            "keys.starvation changes the words of a round, for which the noise of [privacy] was "
            "worked out; leave it out"
        )
    return noise


def with_noise(config: ExperimentConfig, made: T, context: Context) -> Protocol | Reducer | T:
    """What an aggregation has made, with the noise of `[privacy]` on its sums.

    Raises:
        ConfigError: They do not go together.
    """
    mechanism = noise_of(config, context)
    if not isinstance(mechanism, Mechanism):
        return made
    if isinstance(made, Protocol):
        return private_protocol(made, mechanism)
    if made is None and not mechanism.distributed:
        return private_sum(mechanism)
    fit = "noise of the clients together" if made is None else "noise"
    raise ConfigError(
        f'privacy.kind = "{mechanism.kind}" is {fit} on a sum of words, which '
        f'aggregation.kind = "{config.aggregation.kind}" does not take; use "pairwise_masks", '
        '"shared_masks", "hierarchical" or "quantised", or without words privacy.kind = "gaussian" '
        'or "local_gaussian" and aggregation.kind = "plain"'
    )


def private_steps(
    config: ExperimentConfig, context: Context, strategy: Strategy
) -> Gradient | None:
    """What stands for a batch's gradient under `[privacy]`; None if steps have no noise.

    Raises:
        ConfigError: Something else than the steps would look at single samples.
    """
    noise = noise_of(config, context)
    if not isinstance(noise, ExampleNoise):
        return None
    if strategy.measure is not None or config.optimizer.kind == "natural_gradient":
        what = f"strategy `{config.strategy.kind}`"
        if strategy.measure is None:
            what = "optimizer `natural_gradient`"
        raise ConfigError(
            f'privacy.kind = "dp_sgd" does not cover what {what} works out on clients\' samples '
            "beside the gradient; use another, or noise on the sum"
        )
    return private_gradient(noise.clip, _multiplier(config, noise))


def clipped(config: ExperimentConfig, strategy: Strategy) -> Strategy:
    """The strategy, with a clip that follows `privacy.quantile` if there is one."""
    section = config.privacy
    if not isinstance(section, SumNoiseConfig) or section.quantile is None:
        return strategy
    return adaptive_clip(strategy, section.clip, VOTE, section.quantile, section.clip_rate)


def _multiplier(config: ExperimentConfig, noise: ExampleNoise) -> float:
    """The noise multiplier of steps."""
    if not isinstance(noise.noise, Budget):
        return noise.noise
    epsilon, delta, times = noise.noise
    return noise_for(lambda z: times * config.training.epochs * gaussian_curve(z), epsilon, delta)


class Promise:
    """What rounds of an experiment cost.

    Args:
        config: Of an experiment with `[privacy]`.
        protocol: Its aggregation, if that takes words.
        context: What is known of it.
        num_values: Values of a contribution.

    Attributes:
        noise_multiplier: z.
        budget: ε that may be spent; None for any.
        delta: δ.

    Raises:
        ConfigError: Words are too small, no noise is enough, or the extra `dp` is not installed.
    """

    def __init__(
        self, config: ExperimentConfig, protocol: Protocol | None, context: Context, num_values: int
    ) -> None:
        noise, section = noise_of(config, context), config.privacy
        if noise is None or not isinstance(section, PrivacyConfig):
            raise ConfigError("there is no [privacy]")
        self._config, self._protocol, self._num_values = config, protocol, num_values
        self._noise, self.budget, self.delta = noise, section.epsilon, section.delta
        self._clip = section.clip
        self._steps_to_clip: float | None = None
        if isinstance(noise, ExampleNoise):
            self.noise_multiplier = _multiplier(config, noise)
        else:
            plan = self._plan(noise)
            self.noise_multiplier = plan.noise_multiplier
            self._steps_to_clip = noise.clip * plan.scale

    def _plan(self, mechanism: Mechanism) -> Plan:
        return plan_of(mechanism, self._protocol, self._num_values)

    def facts(self) -> PrivacyFacts:
        """What is known before the first round."""
        each = rounds_each(self._config)
        return PrivacyFacts(
            kind=self._config.privacy.kind if self._config.privacy else "",
            clip=self._clip,
            noise_multiplier=self.noise_multiplier,
            epsilon=epsilon_of(each * self.curve_of(self.noise_multiplier), self.delta),
            delta=self.delta,
            rounds_each=each,
            steps_to_clip=self._steps_to_clip,
        )

    def curve_of(self, noise_multiplier: float) -> Curve:
        """What a round costs, or has cost, with some noise."""
        if isinstance(self._noise, ExampleNoise):
            return self._config.training.epochs * gaussian_curve(noise_multiplier)
        return self._plan(self._noise._replace(noise=noise_multiplier)).curve

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
        self._counts: dict[float, np.ndarray] = {}
        if path.exists():
            self._read()

    def begin(self, round_num: int) -> None:
        """Pay for a round.

        Raises:
            BudgetSpentError: It would cost more than there is left; nothing has been paid.
        """
        noise, budget, delta = (
            self._promise.noise_multiplier,
            self._promise.budget,
            self._promise.delta,
        )
        after = self._after(round_num, noise)
        if budget is not None and (cost := self._cost(after)) > budget:
            raise BudgetSpentError(
                f"round {round_num} would bring epsilon to {cost:.4g} at delta {delta:g}, "
                f"privacy.epsilon is {budget:g}: the rounds before it are kept; a new run with "
                "more noise or fewer rounds stays within it"
            )
        append_line(self._path, json.dumps({"round": round_num, "noise_multiplier": noise}))
        self._counts = after

    def epsilon(self) -> float | None:
        """ε of the client that has taken part most; None without noise."""
        epsilon = self._cost(self._counts)
        return epsilon if math.isfinite(epsilon) else None

    def _cost(self, counts: dict[float, np.ndarray]) -> float:
        """ε of whoever has spent most; at each order, so never too little."""
        if 0.0 in counts:
            return math.inf
        several = np.unique(np.stack([*counts.values()]), axis=1)
        curves = np.stack([self._promise.curve_of(noise) for noise in counts])
        return epsilon_of((several.T @ curves).max(axis=0), self._promise.delta)

    def _after(self, round_num: int, noise: float) -> dict[float, np.ndarray]:
        """Noise multiplier -> rounds with it of each client, one round later."""
        config, nobody = self._config, np.zeros(self._config.num_clients, np.int64)
        cohort = sample_cohort(config.seed, round_num, config.num_clients, config.cohort_size)
        counts = self._counts.get(noise, nobody).copy()
        counts[cohort] += 1
        return self._counts | {noise: counts}

    def _read(self) -> None:
        """Take in rounds that were paid for; one that was not noted whole did not begin."""
        text = self._path.read_text(encoding="utf-8")
        whole = text[: text.rfind("\n") + 1]
        if whole != text:
            write_atomic(self._path, whole)
        for number, line in enumerate(whole.splitlines(), start=1):
            try:
                noted = json.loads(line)
                self._counts = self._after(int(noted["round"]), float(noted["noise_multiplier"]))
            except (ValueError, KeyError, TypeError) as error:
                raise CheckpointError(
                    f"`{self._path}` is damaged in line {number}: what the run has spent is not "
                    "known any more; start a new one"
                ) from error
