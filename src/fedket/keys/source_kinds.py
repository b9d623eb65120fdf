"""The key sources that an experiment may name, opened for a run and closed after it."""

import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from itertools import combinations
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from fedket.errors import ConfigError
from fedket.keys.config import KeysConfig
from fedket.keys.etsi014.config import SaeConfig
from fedket.keys.os_random import OsRandomSource
from fedket.keys.qkd.network import FibreNetwork, Pair, link_network, network_links
from fedket.keys.qkd.source import SimulatedKeySource
from fedket.keys.store import PadStore, connect
from fedket.schema import NonNegativeFloat, NonNegativeInt, PositiveFloat, read_table
from fedket.section import Context
from fedket.topology.kinds import read_edge
from fedket.types import SERVER, KeySource

LossDb = Annotated[float, Field(ge=0, le=80)]


class OsRandomConfig(KeysConfig):
    """This machine's random generator, for simulations and trials: no QKD."""

    kind: Literal["os_random"] = "os_random"

    def check(self, context: Context) -> None:
        """Refuse a policy that has nothing to go by.

        Raises:
            ConfigError: There is one.
        """
        if self.starvation:
            raise ConfigError(
                'keys.starvation acts on "simulated" or "etsi014" key; the OS generator never runs '
                "short: leave it empty, or choose another keys.kind"
            )

    def caveats(self) -> tuple[str, ...]:
        """Where key comes from."""
        return (
            "os_random: operating-system random numbers, for tests and simulations, not QKD. The "
            "key bits counted here are what a real key supply would have to deliver.",
        )

    def build(self, context: Context) -> AbstractContextManager[KeySource]:
        """The source."""
        return nullcontext(OsRandomSource())


class SimulatedConfig(KeysConfig):
    """Simulated QKD links, with nothing in store at the beginning."""

    kind: Literal["simulated"] = "simulated"
    protocol: Literal["mdi", "bb84"] = "mdi"
    """Four-phase MDI-QKD through an untrusted relay, or decoy-state BB84."""
    links: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Pairs of clients that have a link, such as `"0-1"`; absent for all pairs."""
    loss_db: Annotated[tuple[LossDb, ...], Field(min_length=1)] = (20.0,)
    """Total loss of the links between clients in dB, detectors included: one for all, or one for
    each of `links`, or of all pairs in the order 0-1, 0-2, …, 1-2, …."""
    server_loss_db: LossDb = 20.0
    """Total loss of each client's link with the server, for MAC keys."""
    relay_mux: NonNegativeInt = 1
    """Pairs among which the relay's time is divided; 0 means all links."""
    clock_hz: PositiveFloat = 1e8
    """Pulses per second."""
    block_pulses: Annotated[float, Field(ge=1e6, le=1e13)] = 1e10
    """Pulses per block; key comes in whole blocks."""
    post_processing: Literal["auto", "full", "sampled"] = "auto"
    """Of all key, of one block in 20 (the rest is drawn at the length it would have had), or of all
    unless a round takes more than 1 MiB."""
    training_s: NonNegativeFloat = 0.0
    """Time from one aggregation to the next on the links' clock."""
    eavesdropper: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the pulses of link 0-1 that are intercepted and resent."""

    @property
    def between_s(self) -> float:
        """Time from one aggregation to the next on the links' clock."""
        return self.training_s

    def check(self, context: Context) -> None:
        """Refuse losses that do not match the clients.

        Raises:
            ConfigError: There are neither one nor as many as pairs.
        """
        clients, pairs = context.num_clients, self._links(context.num_clients)
        for a, b in pairs:
            if a == b or b >= clients or pairs.count((a, b)) > 1:
                raise ConfigError(
                    f"keys.links: {a}-{b} should join two of the clients 0 to {clients - 1}, once"
                )
        if len(self.loss_db) not in (1, len(pairs)):
            raise ConfigError(
                f"keys.loss_db holds 1 loss, or one for each of the {len(pairs)} pairs of "
                f"{clients} clients that have a link; got {len(self.loss_db)}"
            )

    def caveats(self) -> tuple[str, ...]:
        """Where key comes from."""
        tapped = f"Of link 0-1 {100 * self.eavesdropper:g} % of the pulses were intercepted."
        return (
            "simulated: key from simulated QKD links. The channel is a model; error correction, "
            "privacy amplification and the accounting of every byte really ran. The key bytes are "
            "operating-system random numbers and protect nothing beyond this program.",
            *([tapped] if self.eavesdropper else []),
        )

    def pairs(self) -> frozenset[Pair] | None:
        """The links, if not all pairs have one."""
        return None if self.links is None else frozenset(self._links(0))

    def _links(self, num_clients: int) -> list[Pair]:
        if self.links is None:
            return list(combinations(range(num_clients), 2))
        return [read_edge(text, "keys.links") for text in self.links]

    def network(self, context: Context) -> FibreNetwork:
        """All pairs of clients, and the server if it shares key."""
        clients = range(context.num_clients)
        pairs = self._links(context.num_clients)
        losses = self.loss_db * len(pairs) if len(self.loss_db) == 1 else self.loss_db
        by_pair: dict[Pair, float | tuple[float, float]] = dict(zip(pairs, losses, strict=True))
        if context.server_links:
            by_pair |= {(SERVER, client): self.server_loss_db for client in clients}
        return link_network(by_pair, self.relay_mux or None)

    def build(self, context: Context) -> AbstractContextManager[KeySource]:
        """The source; the links' physics depend on the seed, keys do not."""
        network = self.network(context)
        source = SimulatedKeySource(
            network,
            network_links(network, self.protocol, self.block_pulses, self.clock_hz),
            physics_seed=context.seed,
            post_processing=self.post_processing,
            max_wait_s=self.deadline_s,
        )
        if self.eavesdropper:
            source.intercept((0, 1), self.eavesdropper)
        return nullcontext(source)


class Etsi014Config(KeysConfig):
    """Pad stores that are filled by key managers over ETSI GS QKD 014."""

    kind: Literal["etsi014"] = "etsi014"
    store: str = ""
    """Directory of the pad stores, one per party (`client-0`, …, `server`)."""
    sae_files: tuple[str, ...] = ()
    """One file per client, in order, then the server's: how that party reaches its KME (as for
    `fedket keys doctor`)."""

    def check(self, context: Context) -> None:
        """Refuse files that do not match the clients.

        Raises:
            ConfigError: There is no store, or not a file for each party.
        """
        clients = context.num_clients
        if not self.store or len(self.sae_files) != clients + 1:
            raise ConfigError(
                'keys.kind = "etsi014" needs keys.store, and keys.sae_files with a file for each '
                f"of the {clients} clients and then the server's; got {len(self.sae_files)} files"
            )

    def caveats(self) -> tuple[str, ...]:
        """Where key comes from."""
        return (
            "etsi014: every party's ends of its links came from its key manager over ETSI GS QKD "
            "014, through a durable pad store of its own. Whether a manager's keys come from a QKD "
            "device this report cannot know; those of `fedket kme serve`, which `fedket deploy "
            "local` starts, are simulated.",
        )

    @contextmanager
    def build(self, context: Context) -> Iterator[KeySource]:
        """The stores of all parties, open as long as the context is.

        Raises:
            KeyMaterialError: A store is in use, damaged or another party's; a certificate is bad.
        """
        from fedket.keys.filled_stores import FilledStores, kme_links  # imports an HTTP client

        parties = [*range(context.num_clients), SERVER]
        saes = {
            party: read_table(Path(file), SaeConfig)
            for party, file in zip(parties, self.sae_files, strict=True)
        }
        with ExitStack() as stack:
            stores = {
                party: stack.enter_context(PadStore.open(Path(self.store) / _folder(party), party))
                for party in parties
            }
            connect(stores.values())
            fill = stack.enter_context(kme_links(saes, stores, _pauses(self.deadline_s)))
            yield FilledStores(stores, f"{context.name}-{secrets.token_hex(8)}", fill)


def _folder(party: int) -> str:
    return "server" if party == SERVER else f"client-{party}"


def _pauses(deadline_s: float) -> list[float]:
    """Waits of 1, 2, 4, … at most 30 s that add up to the deadline."""
    pauses: list[float] = []
    while (left := deadline_s - sum(pauses)) > 0:
        pauses.append(min(left, 30.0, 2.0 ** len(pauses)))
    return pauses
