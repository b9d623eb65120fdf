"""How an experiment's contributions become a sum: protocol, reducer, and what a round costs."""

from collections.abc import Callable
from functools import partial

import jax
import numpy as np

from fedket.errors import ConfigError, UserCodeError
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.privacy import rounds_each, with_noise
from fedket.experiment.section import build
from fedket.federated.trainer import tree_size
from fedket.keys import OsRandomSource
from fedket.keys.source_kinds import OsRandomConfig
from fedket.record import link_name
from fedket.rng import Purpose, numpy_seed
from fedket.section import Context, Section
from fedket.secure import (
    Protocol,
    kept_values,
    options_of,
    per_link,
    plain_sum,
    random_k,
    reduce_in_process,
    round_cost,
    starving_sum,
)
from fedket.secure.neighbourhoods import check_maskable, mix_by_sums, neighbourhood_cost, seen_by
from fedket.secure.pairwise.protocol import PairwiseMasksConfig
from fedket.secure.protocol import Answers, RoundCost, everybody_answers
from fedket.secure.quantised import QuantisedConfig
from fedket.secure.robust.groups import (
    Grouped,
    GroupedConfig,
    draw_groups,
    grouped_cost,
    grouped_sum,
)
from fedket.secure.robust.kinds import RuleConfig
from fedket.secure.robust.reducer import Rule, check_rule
from fedket.topology.graph import Topology
from fedket.types import (
    SERVER,
    KeySource,
    PacedKeySource,
    Params,
    Reducer,
    RoundContext,
    Strategy,
)
from fedket.user_code import naming_users_lines

Aggregation = Protocol | Grouped | Reducer | None
"""What sections of `[aggregation]` build."""


def aggregation_of(config: ExperimentConfig) -> Aggregation:
    """What the experiment's section builds; None is the engine's own floating-point sum.

    Raises:
        ConfigError: It does not fit.
        UserCodeError: It is a user's own, and fails or makes something else.
    """
    section, context, graph = config.aggregation, _bare_context(config), graph_of(config)
    if graph is not None:
        context = context._replace(links=frozenset(graph.edges))
    with naming_users_lines():
        section.check(context)
        made: Aggregation = section.build(context)
    if made is None or isinstance(made, Protocol | Grouped) or callable(made):
        return with_noise(config, made, context)
    raise UserCodeError(
        f"`build` of {section.kind} returned a {type(made).__name__}; it should return a "
        "fedket.Protocol, a reducer, or None for the engine's own sum"
    )


def protocol_of(config: ExperimentConfig) -> Protocol | None:
    """The experiment's protocol, of its groups if it has any; None if contributions are added."""
    made = aggregation_of(config)
    made = made.protocol if isinstance(made, Grouped) else made
    return made if isinstance(made, Protocol) else None


def summed_clients(config: ExperimentConfig) -> int:
    """Clients of a sum, at most: of a round, or of the largest group of one."""
    made, cohort = aggregation_of(config), config.cohort_size
    if not isinstance(made, Grouped):
        return cohort
    return max(map(len, draw_groups(config.seed, 1, range(cohort), made.size)))


def rule_of(config: ExperimentConfig) -> Rule | None:
    """The experiment's robust rule, if it has one."""
    section: Section = config.aggregation
    section = section.rule if isinstance(section, GroupedConfig) else section
    return section.rule() if isinstance(section, RuleConfig) else None


def first_context(config: ExperimentConfig) -> Context:
    """What is known before anything else is built."""
    protocol = protocol_of(config)
    links = protocol is not None and protocol.authenticated and config.graph is None
    return _bare_context(config)._replace(server_links=links)


def _bare_context(config: ExperimentConfig) -> Context:
    """What the configuration alone says."""
    rng = np.random.default_rng(numpy_seed(config.seed, Purpose.PARTITION))
    clients, cohort = config.num_clients, config.cohort_size
    return Context(
        config.seed,
        clients,
        cohort,
        config.engine.dtype,
        rng,
        name=config.name,
        rounds_each=rounds_each(config),
        links=config.keys.pairs(),
        rounds=config.federation.rounds,
    )


def graph_of(config: ExperimentConfig) -> Topology | None:
    """Who averages with whom in an experiment without a centre; None if it has a server.

    Raises:
        ConfigError: The graph does not fit the clients, or the aggregation the graph.
        UserCodeError: The section is a user's own, and fails or makes something else.
    """
    if config.graph is None:
        return None
    return build(config.graph, _bare_context(config), Topology)


def check_graph(config: ExperimentConfig, graph: Topology) -> None:
    """Raise `ConfigError` unless an aggregation can form the sums of neighbourhoods."""
    if config.privacy is not None:
        raise ConfigError(
            "[privacy] accounts for a server's sum, and a federation on a graph has no server; "
            "leave one of the two out"
        )
    made = aggregation_of(config)
    if made is None:
        return
    if not isinstance(config.aggregation, QuantisedConfig | PairwiseMasksConfig):
        raise ConfigError(
            "a federation on a graph has no server; use aggregation.kind = "
            '"plain", "quantised" or "pairwise_masks", or leave [graph] out'
        )
    if config.keys.starvation:
        raise ConfigError(
            "keys.starvation changes how a server's sum is formed; on a graph leave it empty"
        )
    links = config.keys.pairs()
    strange = [edge for edge in graph.edges if links is not None and edge not in links]
    if isinstance(config.aggregation, PairwiseMasksConfig):
        if strange:
            raise ConfigError(
                f"edge {link_name(strange[0])} of the graph is none of keys.links, so there is no "
                'key for it; use graph.kind = "qkd_links", or add the link'
            )
        check_maskable(graph)


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
    rule, fraction = rule_of(config), config.federation.sparsify
    if rule is not None:
        check_rule(rule, strategy)
    whole = _whole_reducer(config, strategy, keys, answers_of)
    return whole if fraction is None else random_k(whole or plain_sum(), fraction)


def _whole_reducer(
    config: ExperimentConfig,
    strategy: Strategy,
    keys: KeySource | None,
    answers_of: Callable[[Protocol], Answers],
) -> Reducer | None:
    """The reducer of all coordinates."""
    made = aggregation_of(config)
    if keys is None and isinstance(config.keys, OsRandomConfig):
        keys = OsRandomSource()
    if isinstance(made, Grouped):
        strategy.bounds(made.protocol.clip)
        answers = answers_of(made.protocol)
        return grouped_sum(made, partial(_secure_sum, config, made.protocol, keys, answers))
    if not isinstance(made, Protocol):
        return made
    strategy.bounds(made.clip)
    graph, answers = graph_of(config), answers_of(made)
    if graph is None:
        return _secure_sum(config, made, keys, answers)
    sums = {
        i: _secure_sum(config, made, seen_by(keys, i), answers, group=i)
        for i in range(graph.num_clients)
    }
    return mix_by_sums(graph, made, sums)


def _secure_sum(
    config: ExperimentConfig,
    protocol: Protocol,
    keys: KeySource | None,
    answers: Answers,
    group: int = 0,
) -> Reducer:
    """The reducer of a protocol; time passes between rounds, not between groups of a round."""
    if protocol.takes_key and isinstance(keys, PacedKeySource):
        how = config.keys
        options = options_of(protocol, how.starvation, summed_clients(config))
        between_s = 0.0 if group else how.between_s
        return starving_sum(options, keys, how.deadline_s, between_s, config.name, answers)
    return reduce_in_process(protocol, keys, config.name, answers)


def sent_values(config: ExperimentConfig, shapes: Params) -> int:
    """How many values of a contribution with such leaves a client sends in a round."""
    fraction = config.federation.sparsify
    if fraction is None:
        return tree_size(shapes)
    return sum(kept_values(leaf.size, fraction) for leaf in jax.tree.leaves(shapes))


def cost_of(config: ExperimentConfig, num_values: int) -> RoundCost | None:
    """What a round costs of `num_values` a client; None where updates are added as they are."""
    made, protocol, cohort = aggregation_of(config), protocol_of(config), config.cohort_size
    context = RoundContext(config.seed, 1, tuple(range(cohort)), (1 / cohort,) * cohort)
    if isinstance(made, Grouped):
        return grouped_cost(made, context, num_values)
    graph = graph_of(config)
    if protocol is not None and graph is not None:
        return neighbourhood_cost(graph, protocol, context, num_values)
    return protocol and round_cost(protocol, context, num_values)


def check_aggregation(config: ExperimentConfig) -> None:
    """Raise `ConfigError` if the clients of a round are too few to hide, or too many for words."""
    protocol, cohort = protocol_of(config), config.cohort_size
    graph = graph_of(config)
    if config.federation.sparsify is not None:
        _check_sparse(config)
    if graph is not None:
        check_graph(config, graph)
        if protocol is not None:
            cost_of(config, 1)
        return
    if protocol is None:
        return
    if protocol.takes_key and cohort < 2:
        raise ConfigError(
            "masked aggregation needs at least 2 clients per round, got 1: the sum over one "
            'client is its update; use more clients, or aggregation.kind = "plain"'
        )
    summed = summed_clients(config)
    protocol.quantiser([1 / summed] * summed)
    cost, links = cost_of(config, 1), config.keys.pairs()
    pairs = [pair for pair in per_link(cost.key) if SERVER not in pair] if cost else []
    if links is not None and not links.issuperset(pairs):
        pair = next(pair for pair in pairs if pair not in links)
        raise ConfigError(
            f"{config.aggregation.kind} takes key of clients {pair[0]} and {pair[1]}, who have no "
            'link in keys.links; use "pairwise_masks", or add the link'
        )


def _check_sparse(config: ExperimentConfig) -> None:
    """Raise `ConfigError` where a part of the coordinates is not what a round can sum."""
    for given, what in (
        (config.graph, "[graph] averages whole models, not updates"),
        (config.privacy, "the noise of [privacy] is worked out for whole sums"),
        (config.keys.starvation or None, "keys.starvation decides itself what is sent"),
    ):
        if given is not None:
            raise ConfigError(f"federation.sparsify: {what}; leave one of the two out")


def check_attackers(config: ExperimentConfig, num_attackers: int) -> None:
    """Raise `ConfigError` if more attackers are expected in a round than the rule stands."""
    rule, cohort, section = rule_of(config), config.cohort_size, config.aggregation
    if isinstance(section, GroupedConfig):
        if num_attackers > section.corrupt_fraction * config.num_clients:
            raise ConfigError(
                f"{num_attackers} attackers of {config.num_clients} clients are more than "
                f"aggregation.corrupt_fraction = {section.corrupt_fraction:g}, which the groups "
                "are made for; raise it, or have fewer attackers (attack.share)"
            )
        return
    expected = round(num_attackers * cohort / config.num_clients)
    if rule is not None and expected > rule.stands(cohort):
        raise ConfigError(
            f"{expected} attackers among the {cohort} clients of a round are more than "
            f'"{rule.name}" stands, {rule.stands(cohort)}; raise aggregation.f if it has one, or '
            "have fewer attackers (attack.share)"
        )
