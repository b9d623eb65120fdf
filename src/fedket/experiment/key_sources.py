"""The key source that an experiment names: opened for a run, closed after it."""

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import combinations
from pathlib import Path

from fedket.errors import ConfigError
from fedket.experiment.aggregation import protocol_of
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.config_secure import KeysConfig
from fedket.keys import OsRandomSource
from fedket.keys.etsi014.config import SaeConfig, read_section
from fedket.keys.filled_stores import FilledStores
from fedket.keys.kme_links import kme_links
from fedket.keys.qkd.network import FibreNetwork, Pair, link_network, network_links
from fedket.keys.qkd.source import SimulatedKeySource
from fedket.keys.store import PadStore, connect
from fedket.types import SERVER, KeySource


def takes_key(config: ExperimentConfig) -> bool:
    """Whether the aggregation of an experiment masks anything."""
    protocol = protocol_of(config)
    return protocol is not None and protocol.takes_key


def uses_server_links(config: ExperimentConfig) -> bool:
    """Whether clients share key with the server, for MACs."""
    protocol = protocol_of(config)
    return protocol is not None and protocol.authenticated


@contextmanager
def open_keys(config: ExperimentConfig) -> Iterator[KeySource | None]:
    """Open the key source of an experiment, or None if it masks nothing.

    Raises:
        ConfigError: The source does not suit the experiment.
        KeyMaterialError: A pad store is in use, damaged or another party's; a certificate is bad.
    """
    if not takes_key(config):
        yield None
    elif config.keys.source == "os_random":
        yield OsRandomSource()
    elif config.keys.source == "simulated":
        yield simulated_source(config)
    else:
        with _filled_stores(config) as source:
            yield source


def check_keys(config: ExperimentConfig) -> None:
    """Check what can be checked without opening anything.

    Raises:
        ConfigError: Losses or files do not match the clients, or a policy has nothing to go by.
    """
    keys, clients = config.keys, config.num_clients
    if not takes_key(config):
        return
    if keys.starvation and keys.source == "os_random":
        raise ConfigError(
            'keys.starvation acts on "simulated" or "etsi014" key; the OS generator never runs '
            "short: leave it empty, or choose another keys.source"
        )
    num_pairs = clients * (clients - 1) // 2
    if keys.source == "simulated" and len(keys.loss_db) not in (1, num_pairs):
        raise ConfigError(
            f"keys.loss_db holds 1 loss, or one for each of the {num_pairs} pairs of {clients} "
            f"clients; got {len(keys.loss_db)}"
        )
    if keys.source == "etsi014" and (not keys.store or len(keys.saes) != clients + 1):
        raise ConfigError(
            f'keys.source = "etsi014" needs keys.store, and keys.saes with a file for each of the '
            f"{clients} clients and then the server's; got {len(keys.saes)} files"
        )


def fibre_network(config: ExperimentConfig) -> FibreNetwork:
    """The simulated network: all pairs of clients, and the server if it shares key."""
    keys, clients = config.keys, range(config.num_clients)
    pairs = list(combinations(clients, 2))
    losses = keys.loss_db * len(pairs) if len(keys.loss_db) == 1 else keys.loss_db
    by_pair: dict[Pair, float | tuple[float, float]] = dict(zip(pairs, losses, strict=True))
    if uses_server_links(config):
        by_pair |= {(SERVER, client): keys.server_loss_db for client in clients}
    return link_network(by_pair, keys.relay_mux or None)


def simulated_source(config: ExperimentConfig) -> SimulatedKeySource:
    """Simulated links with nothing in store; their physics depend on the seed, keys do not."""
    keys, network = config.keys, fibre_network(config)
    links = network_links(network, keys.protocol, keys.block_pulses, keys.clock_hz)
    source = SimulatedKeySource(
        network,
        links,
        physics_seed=config.seed,
        post_processing=keys.distil,
        max_wait_s=keys.deadline_s,
    )
    if keys.eavesdropper:
        source.intercept((0, 1), keys.eavesdropper)
    return source


@contextmanager
def _filled_stores(config: ExperimentConfig) -> Iterator[FilledStores]:
    keys, clients = config.keys, range(config.num_clients)
    parties = [*clients, SERVER]
    saes = {
        party: read_section(Path(file), SaeConfig)
        for party, file in zip(parties, keys.saes, strict=True)
    }
    with ExitStack() as stack:
        stores = {
            party: stack.enter_context(PadStore.open(Path(keys.store) / _folder(party), party))
            for party in parties
        }
        connect(stores.values())
        fill = stack.enter_context(kme_links(saes, stores, _pauses(keys)))
        run = f"{config.name}-{secrets.token_hex(8)}"
        yield FilledStores(stores, run, fill)


def _folder(party: int) -> str:
    return "server" if party == SERVER else f"client-{party}"


def _pauses(keys: KeysConfig) -> list[float]:
    """Waits of 1, 2, 4, … at most 30 s that add up to the deadline."""
    pauses: list[float] = []
    while (left := keys.deadline_s - sum(pauses)) > 0:
        pauses.append(min(left, 30.0, 2.0 ** len(pauses)))
    return pauses
