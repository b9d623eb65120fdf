"""The server's side of a run, on any transport: from `federation.toml` to a run directory."""

import math
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fedket.deploy.broadcast import Call, Timeouts
from fedket.deploy.deployable import check_cohorts, masking_of
from fedket.deploy.files import (
    FEDERATION,
    MIN_SITES,
    FederationFile,
    read_experiment,
    read_federation,
    sae_ids,
    seats_of,
)
from fedket.deploy.handshake import Handshake, number_in, shape_in
from fedket.deploy.identity.attendance import MemberCalls
from fedket.deploy.identity.members import MembersChangedError
from fedket.deploy.membership import Membership
from fedket.deploy.operating.news import keeping_news
from fedket.deploy.operating.watch import Watch
from fedket.deploy.party_keys import AskPeer, StoreKeys, open_store_keys
from fedket.deploy.rounds import SiteRounds
from fedket.deploy.server_experiment import site_experiment
from fedket.deploy.site_data import load_test_data
from fedket.deploy.site_trainer import Task, make_task
from fedket.deploy.statistics_task import Summed
from fedket.errors import FedketError, ProtocolError
from fedket.experiment.build import Experiment
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.facts import count_facts
from fedket.experiment.load import load_config
from fedket.experiment.run import RunOutcome, resume_run, start_run
from fedket.experiment.run_directory import CONFIG, config_hash
from fedket.facts import Facts
from fedket.federated.checkpoint import load_params
from fedket.record import RoundRecord
from fedket.record_files import FACTS, read_json
from fedket.secure.differencing_guard import OPENED, OpenedSums
from fedket.types import SERVER, Dataset

FIRST_SHARE = 0.75
"""Of the sites, that must be in a run's first sum: those that come early are not to be alone."""

HEARTBEATS = 20
"""Heartbeats that a server asks for in a second, of all sites together."""


class ServerParts(NamedTuple):
    """What a transport gives the server.

    Attributes:
        call: Way to the sites.
        reachable: Sites it leads to.
        ask_peer: Way to the sites, about links.
        share_keys: Told the server's keys once they are open, to answer sites about links.
        say: Where news go.
    """

    call: Call
    reachable: frozenset[int]
    ask_peer: AskPeer
    share_keys: Callable[[Any], None]
    say: Callable[[str], None]


class Opened(NamedTuple):
    """A server's side, ready to meet sites.

    Attributes:
        members: The sites.
        keys: The server's ends of its links.
        sums: Whose sums were opened.
        transport: The way to the sites.
        watch: The server's account.
        attendance: The list of members that they go by.
        first: Share of the sites that must be in the first sum, where the operator says no number.
    """

    members: Membership
    keys: StoreKeys
    sums: OpenedSums
    transport: ServerParts
    watch: Watch
    attendance: MemberCalls
    first: float

    def rounds(self, task: Summed, session: str, seats: Sequence[int]) -> SiteRounds:
        """Return the rounds of a session over its sites."""
        say = self.transport.say
        return SiteRounds(
            task,
            self.members,
            self.keys,
            session,
            opened=self.sums,
            say=say,
            seats=seats,
            first=self.first,
        )


@contextmanager
def opened_federation(
    folder: Path,
    file: FederationFile,
    config: ExperimentConfig,
    fingerprint: str,
    parts: Callable[[tuple[str, ...]], ServerParts],
) -> Iterator[Opened]:
    """Open what the server needs to hold rounds, until the block ends.

    Args:
        folder: Holds `federation.toml` and what it names.
        file: That file.
        config: The experiment.
        fingerprint: By which sites know what they take part in.
        parts: Names of the sites -> the transport.
    """
    names, seats = file.sites, frozenset(seats_of(file))
    watch = Watch(folder, names, config.name, fingerprint, config.federation.rounds)
    given = parts(names)
    attendance = MemberCalls(folder, file.authority, seats, given.call)
    said = keeping_news(lambda: folder, given.say)
    transport = given._replace(
        call=watch.call(attendance), say=said, reachable=given.reachable & seats
    )
    first = 0.0 if file.min_sites else FIRST_SHARE
    protocol = masking_of(config, file.min_sites or MIN_SITES)
    check_cohorts(config, protocol.least)
    sums = OpenedSums(folder / OPENED, fingerprint)
    ids = sae_ids(file.saes, len(names))
    keys = open_store_keys(SERVER, file.store, file.sae, ids, transport.ask_peer)
    transport.share_keys(keys)
    timeouts = Timeouts(
        file.phase_s,
        file.training_s,
        file.join_s,
        file.silent_s,
        config.keys.deadline_s,
        max(1.0, len(names) / HEARTBEATS),
    )
    members = Membership(
        names,
        fingerprint,
        transport.call,
        timeouts,
        frozenset({protocol.trains, "setup"}),
        protocol.least,
        transport.say,
        first=math.ceil(first * len(seats)),
    )
    try:
        with watch.following(members.absent, keys.left, file.run):
            yield Opened(members, keys, sums, transport, watch, attendance, first)
    finally:
        members.close()
        keys.close()


def run_federation(folder: Path, parts: Callable[[tuple[str, ...]], ServerParts]) -> RunOutcome:
    """Start the run of a folder, or go on with it; a new session whenever the members change.

    Args:
        folder: Holds `federation.toml` and what it names.
        parts: Names of the sites -> the transport.

    Raises:
        FedketError: One clear line about what is wrong; the run directory is intact.
    """
    while True:
        try:
            return _run_session(folder, parts)
        except MembersChangedError:
            continue


def _run_session(folder: Path, parts: Callable[[tuple[str, ...]], ServerParts]) -> RunOutcome:
    """Hold rounds, all that are left or until the members change."""
    file = read_federation(folder / FEDERATION)
    founded = load_config(file.experiment)
    config = read_experiment(file.experiment, len(seats_of(file)))
    test = load_test_data(file.test_data, folder, config)
    started = (file.run / CONFIG).exists()
    with opened_federation(folder, file, config, config_hash(founded), parts) as opened:

        def build(_: ExperimentConfig) -> tuple[Experiment, Facts]:
            said = opened.members.meet(opened.transport.reachable)
            made = _build(config, file, opened, test, said)
            # A run is one experiment, however many sites have come and gone since it was founded.
            everybody = [np.zeros(0, np.int64)] * founded.num_clients
            made = made._replace(config=founded, partition=everybody)
            if file.start and not started:
                made = begin_with(made, folder / file.start)
            samples = {i: number_in(handshake, "samples") for i, handshake in said.items()}
            return made, count_facts(made).model_copy(update=_held(file, samples))

        def changed(_: RoundRecord) -> None:
            opened.attendance.check(opened.transport.say)

        told = opened.watch.round, changed
        if started:
            return resume_run(file.run, config=founded, build=build, callbacks=told)
        return start_run(founded, output=file.run, build=build, callbacks=told)


def begin_with(experiment: Experiment, weights: Path) -> Experiment:
    """Return an experiment whose first round begins with weights that are there.

    Raises:
        CheckpointError: The file is missing, damaged, or of another model.
    """
    begun = experiment.federation.init()
    params = load_params(weights, begun.params)
    state = begun._replace(params=params, server=experiment.strategy.init(params))
    return experiment._replace(federation=experiment.federation._replace(init=lambda: state))


def _build(
    config: ExperimentConfig,
    file: FederationFile,
    opened: Opened,
    test: Dataset | None,
    said: Mapping[int, Handshake],
) -> Experiment:
    """Make the experiment of what the sites said of themselves, and let them in."""
    features = shape_in(next(iter(said.values())))
    if test is not None and test.x_test.shape[1:] != features:
        raise ProtocolError(
            f"the server's test samples have shape {test.x_test.shape[1:]}, the sites' {features}"
        )
    make = partial(make_task, config, features, min_sites=file.min_sites or MIN_SITES)
    least = 0 if test is None else test.num_classes
    task, said = _task_of(make, said, least, opened.members.refuse)
    session = f"{file.run.resolve().name}-{secrets.token_hex(8)}"
    rounds = opened.rounds(task, session, seats_of(file))
    experiment = site_experiment(task, rounds, test)
    opened.members.open(session, task.context.samples.num_classes, opened.keys)
    return experiment


def _task_of(
    make: Callable[..., Task],
    said: Mapping[int, Handshake],
    least: int,
    refuse: Callable[[int, str], None],
) -> tuple[Task, Mapping[int, Handshake]]:
    """Make the task for the classes of all sites, or of all but those with too many for the model.

    Raises:
        ConfigError: The model does not suit such samples.
    """
    while True:
        counts = {i: number_in(handshake, "classes") for i, handshake in said.items()}
        most = max(counts.values())
        fewer = {i: handshake for i, handshake in said.items() if counts[i] < most}
        try:
            return make(num_classes=max(most, least)), said
        except FedketError as error:
            if not fewer or least >= most:
                raise
            for i in said.keys() - fewer.keys():
                refuse(i, f"the model does not suit its {most} classes: {error}")
            said = fewer


def _held(file: FederationFile, samples: Mapping[int, int]) -> dict[str, Any]:
    """The sites' samples as they were when the run began: they may have more by now."""
    if (path := file.run / FACTS).exists():
        old = read_json(path, Facts)
        counts, num_train = old.label_counts, old.num_train
    else:
        counts = tuple((samples.get(i, 0),) for i in range(len(file.sites)))
        num_train = sum(samples.values())
    return {"label_counts": counts, "num_train": num_train, "at_sites": True}
