"""One site: its data, its keys, and what it answers; no I/O but its key store's and its peers'.

What leaves a site: its name, version, fingerprint of the experiment, number of samples and classes
and shape of a sample (`handshake`); offsets of one-time keys and names of keys; what failed; masked
words. Trained parameters, losses and accuracies leave it inside masked words only.
"""

import secrets
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from fedket._version import __version__
from fedket.deploy.agreed import Agreed, agree, check_round, samples_in, sizes_in
from fedket.deploy.handshake import PROTOCOL
from fedket.deploy.keyless import LinksWithoutKeyError, told
from fedket.deploy.party_keys import PartyKeys
from fedket.deploy.patience import fill_patiently
from fedket.deploy.site_trainer import SiteTrainer, training_parts
from fedket.deploy.statistics_task import StatisticsTrainer, Summed
from fedket.errors import FedketError, ProtocolError
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.run_directory import config_hash
from fedket.secure import Party, client_side, fresh_state, round_cost
from fedket.secure.phases import (
    Failure,
    Handler,
    Outcome,
    Payload,
    Reply,
    integer,
    integers,
    octets,
)
from fedket.secure.shares import check_shares
from fedket.secure.sides import Give, forget
from fedket.types import Contribution, Dataset, RoundContext

Parts = Callable[..., tuple[Summed, "SiteTrainer | StatisticsTrainer"]]
"""(experiment, samples, site, classes, samples of the largest site, fewest sites in a sum, folder)
-> what is summed, and what the site contributes: `training_parts`, or `statistics_parts`."""


class SiteSession(NamedTuple):
    """One start of a run, as a site lives through it."""

    name: str
    task: Summed
    trainer: SiteTrainer | StatisticsTrainer
    handler: Handler[Any]
    agreed: Agreed


class Site:
    """A site of a federation.

    Args:
        name: Its name, for messages to people.
        client_id: Its number in the federation, from 0.
        config: The experiment as this site has approved it.
        dataset: Its own samples.
        keys: Its ends of its links.
        give: Remembers to which group it gave which update: `GivenUpdates.give`.
        folder: Its own folder, for what outlives it; None for nothing.
        min_sites: Fewest sites in a sum to which it gives its update.
        parts: What it does in a session: trains, or counts.
        fingerprint: Of the experiment as it was founded, or of its statistics; empty: of `config`.
        seats: Numbers of the sites among which rounds are drawn; none: those from 0.
    """

    def __init__(
        self,
        name: str,
        client_id: int,
        config: ExperimentConfig,
        dataset: Dataset,
        keys: PartyKeys,
        give: Give = forget,
        folder: Path | None = None,
        min_sites: int = 2,
        parts: Parts = training_parts,
        fingerprint: str = "",
        seats: tuple[int, ...] = (),
    ) -> None:
        self._seats = seats
        self.name, self.client_id = name, client_id
        self.instance = secrets.token_hex(8)
        self._config, self._dataset, self._keys, self._give = config, dataset, keys, give
        self._folder, self._min_sites, self._parts = folder, min_sites, parts
        self._fingerprint = fingerprint or config_hash(config)
        self._served: object = None
        self._session: SiteSession | None = None
        self._state: Any = None
        self._lock = Lock()

    @property
    def program(self) -> str:
        """What its compiled programs depend on: the experiment, and the shapes of its samples."""
        arrays = (value for value in self._dataset if isinstance(value, np.ndarray))
        return f"{config_hash(self._config)} {[(a.shape, str(a.dtype)) for a in arrays]}"

    def handle(self, action: str, payload: Payload) -> Outcome:
        """Answer a request of the server; never raises what is the request's fault."""
        if action == "heartbeat":
            return Reply({"instance": self.instance})
        own: Mapping[str, Callable[[Payload], Payload]] = {
            "handshake": self._handshake,
            "setup": self._setup,
            "links": self._links,
            "fill": self._fill,
        }
        with self._lock:
            try:
                if action in own:
                    return Reply(own[action](payload))
                return self._step(action, payload)
            except LinksWithoutKeyError as error:  # whose fault it is, the server finds out
                return Reply(told(error.faults))
            except FedketError as error:
                return Failure(str(error))

    def answer_peer(self, peer: int, action: str, payload: Payload) -> Outcome:
        """Answer another party about the link with it."""
        try:
            return Reply(self._keys.answer(peer, action, payload))
        except FedketError as error:
            return Failure(str(error))

    def _handshake(self, payload: Payload) -> Payload:
        self._served, spoken = payload.get("experiment"), payload.get("protocol", PROTOCOL)
        if spoken != PROTOCOL:
            raise ProtocolError(
                f"the server speaks version {spoken!r:.20} of the protocol between parties, site "
                f"{self.name} version {PROTOCOL} (fedket {__version__}); upgrade the older one"
            )
        return {
            "name": self.name,
            "client": self.client_id,
            "version": __version__,
            "protocol": PROTOCOL,
            "experiment": self._fingerprint,
            "samples": len(self._dataset.y_train),
            "classes": self._dataset.num_classes,
            "features": list(self._dataset.x_train.shape[1:]),
            "instance": self.instance,
        }

    def _setup(self, payload: Payload) -> Payload:
        if self._served != (own := self._fingerprint):
            raise ProtocolError(
                f"site {self.name} takes part in the experiment with fingerprint {own}, not in "
                f"{self._served!r:.80}; give both sides the same experiment.toml"
            )
        name = payload.get("session")
        if not isinstance(name, str) or not name:
            raise ProtocolError("`setup` names no session; run the same version of fedket")
        agreed = agree(
            self._config,
            self.client_id,
            len(self._dataset.y_train),
            samples_in(payload, "sites"),
            self._seats,
        )
        classes, largest = sizes_in(payload)
        if classes < self._dataset.num_classes or largest < len(self._dataset.y_train):
            raise ProtocolError(
                f"the server begins a session of {classes} classes and {largest} samples at the "
                f"largest site; site {self.name} has {self._dataset.num_classes} classes and "
                f"{len(self._dataset.y_train)} samples"
            )
        sizes = classes, largest, self._min_sites
        task, trainer = self._parts(
            self._config, self._dataset, self.client_id, *sizes, self._folder
        )
        party, learn = Party(name, self._keys.source(name)), self._learn
        handler = client_side(
            task.protocol, self.client_id, party, task.num_values, learn, self._give
        )
        self._session = SiteSession(name, task, trainer, handler, agreed)
        self._state = fresh_state(task.protocol)
        return {}

    def _links(self, payload: Payload) -> Payload:
        self._keys.links([peer for peer in integers(payload, "peers") if peer > self.client_id])
        return {}

    def _fill(self, payload: Payload) -> Payload:
        task = self._opened().task
        cost = round_cost(task.protocol, self._context(payload), task.num_values)
        own = {s: n for s, n in cost.key.items() if s[0] == self.client_id}
        deadline, patience = self._config.keys.deadline_s, payload.get("patience_s")
        if isinstance(patience, int):  # what is left of the round's, by the server's clock
            deadline = min(deadline, float(max(0, patience)))
        return {"rounds": fill_patiently(partial(self._keys.fill, own), deadline)}

    def _step(self, action: str, payload: Payload) -> Outcome:
        outcome, self._state = self._opened().handler(action, payload, self._state)
        return outcome

    def _learn(self, opening: Payload) -> tuple[RoundContext, Callable[[], Contribution | None]]:
        """What a round begins with: the global model, and the samples of everyone in it."""
        context, remembered = self._context(opening), 0
        if self._opened().task.strategy.memory is not None:
            rounds = dict(zip(context.client_ids, integers(opening, "remembered"), strict=False))
            remembered = rounds.get(self.client_id, -1)
            if not 0 <= remembered < context.round_num:
                raise ProtocolError(
                    f"round {context.round_num} says nothing of what site {self.name} remembers; "
                    "both sides must run the same version of fedket"
                )
        return context, partial(self._contribute, octets(opening, "model"), context, remembered)

    def _context(self, payload: Payload) -> RoundContext:
        """The round that a message is about, if it is what was agreed."""
        session, round_num = self._opened(), integer(payload, "round_num")
        samples = samples_in(payload, "cohort")
        check_round(session.agreed, round_num, samples)
        if len(samples) < session.task.protocol.least:
            raise ProtocolError(
                f"round {round_num} would be of {len(samples)} sites; site {self.name} gives its "
                f"update to sums over {session.task.protocol.least} or more (`min_sites` in its "
                "site.toml)"
            )
        seed = octets(payload, "graph_seed")
        context = session.task.round(round_num, tuple(samples), samples, seed)
        check_shares(session.task.protocol.max_share, context)
        return context

    def _contribute(
        self, model: bytes, context: RoundContext, remembered: int
    ) -> Contribution | None:
        try:
            return self._opened().trainer.contribute(model, context, remembered)
        except ValueError as error:
            raise ProtocolError(
                f"site {self.name} cannot use the model it was sent: {error}"
            ) from None

    def _opened(self) -> SiteSession:
        if self._session is None:
            raise ProtocolError(f"site {self.name} was restarted and waits for a new session")
        return self._session
