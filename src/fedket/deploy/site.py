"""One site: its data, its keys, and what it answers; no I/O but its key store's and its peers'.

What leaves a site: its name, version, fingerprint of the experiment, number of samples and classes
and shape of a sample (`handshake`); offsets of one-time keys and names of keys; what failed; masked
words. Trained parameters, losses and accuracies leave it inside masked words only.
"""

import secrets
from collections.abc import Callable, Mapping
from functools import partial
from threading import Lock
from typing import Any, NamedTuple

from fedket._version import __version__
from fedket.deploy.party_keys import PartyKeys
from fedket.deploy.patience import fill_patiently
from fedket.deploy.site_trainer import (
    SiteTrainer,
    Task,
    contribution_bounds,
    contribution_template,
    make_task,
)
from fedket.deploy.sums import Masking, authenticated, round_context, site_side
from fedket.errors import FedketError, ProtocolError
from fedket.experiment.aggregation import demand_of
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.run_directory import config_hash
from fedket.secure.channel import ChannelState
from fedket.secure.pairwise.client import ClientState as PairwiseState
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
from fedket.secure.shared_masks.client import ClientState as SharedState
from fedket.types import SERVER, Contribution, Dataset, RoundContext

OPENING = ("reserve", "share")
"""First requests of a round; they carry the global model."""


class SiteSession(NamedTuple):
    """One start of a run, as a site lives through it."""

    name: str
    masking: Masking
    trainer: SiteTrainer
    handler: Handler[Any]


class Site:
    """A site of a federation.

    Args:
        name: Its name, for messages to people.
        client_id: Its number in the federation, from 0.
        config: The experiment as this site has approved it.
        sites: Sites of the whole federation.
        dataset: Its own samples.
        keys: Its ends of its links.
    """

    def __init__(
        self,
        name: str,
        client_id: int,
        config: ExperimentConfig,
        sites: int,
        dataset: Dataset,
        keys: PartyKeys,
    ) -> None:
        self.name, self.client_id = name, client_id
        self.instance = secrets.token_hex(8)
        self._config, self._sites, self._dataset, self._keys = config, sites, dataset, keys
        self._session: SiteSession | None = None
        self._state: Any = None
        self._round: tuple[RoundContext, bytes] | None = None
        self._lock = Lock()

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
            except FedketError as error:
                return Failure(str(error))

    def answer_peer(self, peer: int, action: str, payload: Payload) -> Outcome:
        """Answer another party about the link with it."""
        try:
            return Reply(self._keys.answer(peer, action, payload))
        except FedketError as error:
            return Failure(str(error))

    def _handshake(self, _: Payload) -> Payload:
        return {
            "name": self.name,
            "client": self.client_id,
            "version": __version__,
            "experiment": config_hash(self._config),
            "samples": len(self._dataset.y_train),
            "classes": self._dataset.num_classes,
            "features": list(self._dataset.x_train.shape[1:]),
            "instance": self.instance,
        }

    def _setup(self, payload: Payload) -> Payload:
        name = payload.get("session")
        if not isinstance(name, str) or not name:
            raise ProtocolError("`setup` names no session; run the same version of fedket")
        features = self._dataset.x_train.shape[1:]
        task = make_task(self._config, features, integer(payload, "classes"))
        trainer = SiteTrainer(task, self._dataset, self.client_id, integer(payload, "largest"))
        trainer.compile()
        masking = masking_of(task, self._sites)
        keys = self._keys.source(name)
        inner = site_side(masking, self.client_id, keys, name, self._contribute)
        handler = authenticated(masking, self._learning(inner), self.client_id, keys, name)
        self._session = SiteSession(name, masking, trainer, handler)
        self._state = fresh_state(masking)
        return {}

    def _links(self, payload: Payload) -> Payload:
        self._keys.links([peer for peer in integers(payload, "peers") if peer > self.client_id])
        return {}

    def _fill(self, payload: Payload) -> Payload:
        session = self._opened()
        context = _context(session.masking, payload)
        demand = demand_of(session.masking.how, session.masking.sites)
        lengths = demand(context, session.masking.num_values)
        own = {s: n for s, n in lengths.items() if s[0] == self.client_id}
        deadline = self._config.keys.deadline_s
        fill_patiently(partial(self._keys.fill, own), deadline)
        return {}

    def _step(self, action: str, payload: Payload) -> Outcome:
        outcome, self._state = self._opened().handler(action, payload, self._state)
        return outcome

    def _learning(self, inner: Handler[Any]) -> Handler[Any]:
        """Take the model out of the first request of a round, once it is known to be genuine."""

        def handle(action: str, payload: Payload, state: Any) -> tuple[Outcome, Any]:
            try:
                if action in OPENING:
                    context = _context(self._opened().masking, payload)
                    if self.client_id not in context.client_ids:
                        raise ProtocolError(f"site {self.name} is not in the cohort it was sent")
                    self._round = context, octets(payload, "model")
            except FedketError as error:
                return Failure(str(error)), state
            return inner(action, payload, state)

        return handle

    def _contribute(self, round_num: int) -> tuple[Contribution, RoundContext] | None:
        if self._round is None or self._round[0].round_num != round_num:
            raise ProtocolError(f"site {self.name} was sent no model for round {round_num}")
        context, model = self._round
        self._round = None
        try:
            return self._opened().trainer.contribute(model, context)
        except ValueError as error:
            raise ProtocolError(
                f"site {self.name} cannot use the model it was sent: {error}"
            ) from None

    def _opened(self) -> SiteSession:
        if self._session is None:
            raise ProtocolError(f"site {self.name} was restarted and waits for a new session")
        return self._session


def masking_of(task: Task, sites: int) -> Masking:
    """How a task's contributions become a sum."""
    return Masking(
        task.config.aggregation,
        contribution_bounds(task),
        contribution_template(task),
        sites,
        task.config.seed,
    )


def fresh_state(masking: Masking) -> Any:
    """The state of a client that has seen no round of a session."""
    inner = PairwiseState() if masking.how.kind == "masked" else SharedState()
    plain = masking.how.kind == "masked" and not masking.how.mac
    return inner if plain else ChannelState(inner)


def _context(masking: Masking, payload: Payload) -> RoundContext:
    """The round that a message is about."""
    cohort, samples = integers(payload, "cohort"), integers(payload, "samples")
    if len(cohort) != len(samples) or min(samples, default=0) < 1 or SERVER in cohort:
        raise ProtocolError(
            f"a round of {len(cohort)} sites came with {len(samples)} numbers of samples, the "
            "smallest of which must be 1; both sides must run the same version of fedket"
        )
    counts = dict(zip(cohort, samples, strict=True))
    return round_context(masking.seed, integer(payload, "round_num"), cohort, counts)
