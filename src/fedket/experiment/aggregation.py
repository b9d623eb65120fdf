"""How an experiment's contributions become a sum: protocol, reducer, and what a round costs."""

from collections.abc import Callable

import numpy as np

from fedket.errors import ConfigError, UserCodeError
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.privacy import rounds_each, with_noise
from fedket.keys import OsRandomSource
from fedket.keys.source_kinds import OsRandomConfig
from fedket.rng import Purpose, numpy_seed
from fedket.section import Context
from fedket.secure import Protocol, options_of, reduce_in_process, round_cost, starving_sum
from fedket.secure.protocol import Answers, RoundCost, everybody_answers
from fedket.secure.robust.kinds import RuleConfig
from fedket.secure.robust.reducer import Rule, check_rule
from fedket.types import KeySource, PacedKeySource, Reducer, RoundContext, Strategy
from fedket.user_code import naming_users_lines


def aggregation_of(config: ExperimentConfig) -> Protocol | Reducer | None:
    """What the experiment's section builds; None is the engine's own floating-point sum.

    Raises:
        ConfigError: It does not fit.
        UserCodeError: It is a user's own, and fails or makes something else.
    """
    section, context = config.aggregation, _bare_context(config)
    with naming_users_lines():
        section.check(context)
        made: Protocol | Reducer | None = section.build(context)
    if made is None or isinstance(made, Protocol) or callable(made):
        return with_noise(config, made, context)
    raise UserCodeError(
        f"`build` of {section.kind} returned a {type(made).__name__}; it should return a "
        "fedket.Protocol, a reducer, or None for the engine's own sum"
    )


def protocol_of(config: ExperimentConfig) -> Protocol | None:
    """The experiment's protocol; None if it sums contributions that are there already."""
    made = aggregation_of(config)
    return made if isinstance(made, Protocol) else None


def rule_of(config: ExperimentConfig) -> Rule | None:
    """The experiment's robust rule, if it has one."""
    section = config.aggregation
    return section.rule() if isinstance(section, RuleConfig) else None


def first_context(config: ExperimentConfig) -> Context:
    """What is known before anything else is built."""
    protocol = protocol_of(config)
    links = protocol is not None and protocol.authenticated
    return _bare_context(config)._replace(server_links=links)


def _bare_context(config: ExperimentConfig) -> Context:
    """What the configuration alone says."""
    rng = np.random.default_rng(numpy_seed(config.seed, Purpose.PARTITION))
    clients, cohort = config.num_clients, config.cohort_size
    dtype, each = config.engine.dtype, rounds_each(config)
    return Context(config.seed, clients, cohort, dtype, rng, name=config.name, rounds_each=each)


def build_reducer(
    config: ExperimentConfig,
    strategy: Strategy,
    keys: KeySource | None = None,
    answers_of: Callable[[Protocol], Answers] = lambda _: everybody_answers,
) -> Reducer | None:
    """The experiment's reducer; None is the engine's own floating-point sum.

    Args:
        config: The experiment.
        strategy: Whose contributions are summed.
        keys: The open key source; without it only `os_random` takes part in a round.
        answers_of: Who answers what in a protocol.

    Raises:
        ConfigError: The strategy's contributions have no bounds, which the protocol needs, or do
            not suit a robust rule.
    """
    made, rule = aggregation_of(config), rule_of(config)
    if rule is not None:
        check_rule(rule, strategy)
    if not isinstance(made, Protocol):
        return made
    strategy.bounds(made.clip)
    if keys is None and isinstance(config.keys, OsRandomConfig):
        keys = OsRandomSource()
    if made.takes_key and isinstance(keys, PacedKeySource):
        how = config.keys
        options = options_of(made, how.starvation, config.cohort_size)
        times = how.deadline_s, how.between_s
        return starving_sum(options, keys, *times, config.name, answers_of(made))
    return reduce_in_process(made, keys, config.name, answers_of(made))


def cost_of(config: ExperimentConfig, num_values: int) -> RoundCost | None:
    """What a round of the first clients costs; None where updates are added as they are."""
    protocol, cohort = protocol_of(config), config.cohort_size
    context = RoundContext(config.seed, 1, tuple(range(cohort)), (1 / cohort,) * cohort)
    return protocol and round_cost(protocol, context, num_values)


def check_aggregation(config: ExperimentConfig) -> None:
    """Raise `ConfigError` if the clients of a round are too few to hide, or too many for words."""
    protocol, cohort = protocol_of(config), config.cohort_size
    if config.graph is not None and aggregation_of(config) is not None:
        raise ConfigError(
            "a federation on a graph has no server that forms a sum; use "
            'aggregation.kind = "plain", or leave [graph] out'
        )
    if protocol is None:
        return
    if protocol.takes_key and cohort < 2:
        raise ConfigError(
            "masked aggregation needs at least 2 clients per round, got 1: the sum over one "
            'client is its update; use more clients, or aggregation.kind = "plain"'
        )
    protocol.quantiser([1 / cohort] * cohort)
    cost_of(config, 1)


def check_attackers(config: ExperimentConfig, num_attackers: int) -> None:
    """Raise `ConfigError` if more attackers are expected in a round than the rule stands."""
    rule, cohort = rule_of(config), config.cohort_size
    expected = round(num_attackers * cohort / config.num_clients)
    if rule is not None and expected > rule.stands(cohort):
        raise ConfigError(
            f"{expected} attackers among the {cohort} clients of a round are more than "
            f'"{rule.name}" stands, {rule.stands(cohort)}; raise aggregation.f if it has one, or '
            "have fewer attackers (attack.share)"
        )
