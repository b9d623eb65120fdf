"""How long simulated links take to make the key of a round, by how many clients take part."""

from collections.abc import Sequence
from typing import NamedTuple

from fedket.errors import ConfigError
from fedket.experiment.aggregation import (
    check_aggregation,
    cost_of,
    first_context,
    sent_values,
)
from fedket.experiment.build import build_experiment
from fedket.experiment.check import parameter_shapes
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.facts import key_feed
from fedket.federated.trainer import contribution_shape
from fedket.keys.source_kinds import SimulatedConfig
from fedket.secure import per_link
from fedket.types import SERVER


class KeyTime(NamedTuple):
    """What a round of so many clients, all of them, asks of simulated links.

    Attributes:
        clients: In the round.
        pairs: Of clients that share a pad.
        bits_per_pair: Key of each.
        rate_bps: Of the slowest link.
        seconds_per_round: That it needs; None: it never gives key.
        first_key_s: When its first block is whole; None: never.
    """

    clients: int
    pairs: int
    bits_per_pair: int
    rate_bps: float
    seconds_per_round: float | None
    first_key_s: float | None


def key_times(config: ExperimentConfig, clients: Sequence[int]) -> list[KeyTime]:
    """Plan the key of a round for several numbers of clients.

    Args:
        config: The experiment; its own number of clients does not matter.
        clients: Each at least 2.

    Raises:
        ConfigError: Its key is not simulated, it takes none, or so many cannot be summed.
    """
    if not isinstance(config.keys, SimulatedConfig):
        raise ConfigError(
            f'keys.kind = "{config.keys.kind}" has no links that are simulated; add '
            "--set keys.kind=simulated"
        )
    experiment = build_experiment(config)
    shapes = contribution_shape(experiment.strategy, parameter_shapes(experiment.model))
    return [_key_time(config, sent_values(config, shapes), number) for number in clients]


def _key_time(config: ExperimentConfig, num_values: int, clients: int) -> KeyTime:
    config = config.model_copy(
        update={
            "partition": config.partition.model_copy(update={"num_clients": clients}),
            "federation": config.federation.model_copy(update={"clients_per_round": 0}),
        }
    )
    check_aggregation(config)
    cost = cost_of(config, num_values)
    needs = per_link(cost.key) if cost else {}
    of_pairs = [bits for pair, bits in needs.items() if SERVER not in pair]
    if not of_pairs or not isinstance(config.keys, SimulatedConfig):
        raise ConfigError(
            f'aggregation.kind = "{config.aggregation.kind}" takes no key between clients; '
            "`pairwise_masks` and `shared_masks` do"
        )
    feed = key_feed(config.keys, first_context(config), needs)
    tight = feed.links[0]
    return KeyTime(
        clients,
        len(of_pairs),
        max(of_pairs),
        tight.rate_bps,
        feed.seconds_per_round,
        feed.first_key_s,
    )
