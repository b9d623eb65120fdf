"""A server that dies between opening a sum and recording its round."""

import json

import pytest
from local_sites import KINDS, SITES, LocalMembers, SessionKeys, experiment, site_parts

from fedket.deploy.rounds import SiteRounds
from fedket.deploy.server_experiment import site_experiment
from fedket.deploy.site import Site
from fedket.deploy.site_trainer import make_task
from fedket.experiment.build import build_experiment
from fedket.federated.checkpoint import params_sha256
from fedket.secure.differencing_guard import OPENED, OpenedSums


class DiedError(Exception):
    """What a kill -9 of the server is, in one process."""


class Attempts:
    """Sites that outlive the server; every attempt is a server of its own over one directory."""

    def __init__(self, kind, directory):
        self.config = experiment(KINDS[kind])
        self.built = build_experiment(self.config)
        self.file, self.keys = directory / OPENED, SessionKeys()
        self.sites = [
            Site(f"site-{i}", i, self.config, part, self.keys)
            for i, part in enumerate(site_parts(self.built))
        ]

    def server(self, session, silent=None, dies_after=None):
        members = LocalMembers(self.sites, silent)
        members.open(session)
        execute = members.execute

        def until_dead(phase):
            outcomes = execute(phase)
            if phase.action == dies_after:
                raise DiedError
            return outcomes

        members.execute = until_dead
        dataset = self.built.dataset
        task = make_task(self.config, dataset.x_train.shape[1:], dataset.num_classes)
        rounds = SiteRounds(task, members, self.keys, session, opened=OpenedSums(self.file, "f00d"))
        return site_experiment(task, rounds, None).federation, members


MASKED, SHARED = ("masked", "upload"), ("shared", "open")


@pytest.fixture
def attempts(request, tmp_path):
    """A round cut off when the server has all it needs to open the sum of everybody."""
    kind, last = request.param
    attempts = Attempts(kind, tmp_path)
    federation, _ = attempts.server("first", dies_after=last)
    with pytest.raises(DiedError):
        federation.run_round(federation.init())
    everybody = list(range(SITES))
    opened = json.loads(attempts.file.read_text())
    assert opened.pop("weights") == pytest.approx([1 / SITES] * SITES, abs=0.5)
    assert opened == {
        "experiment": "f00d",
        "round": 1,
        "cohort": everybody,
        "group": everybody,
    }
    return attempts


@pytest.mark.parametrize(
    "attempts", [MASKED, pytest.param(SHARED, marks=pytest.mark.long)], indirect=True
)
def test_the_same_group_ends_the_round_as_if_nothing_had_happened(attempts, tmp_path):
    federation, _ = attempts.server("second")
    state, record = federation.run_round(federation.init())
    assert not record.dropped
    attempts.file = tmp_path / "another"
    federation, _ = attempts.server("third")
    undisturbed, _ = federation.run_round(federation.init())
    assert params_sha256(state.params) == params_sha256(undisturbed.params)


@pytest.mark.parametrize("attempts", [MASKED, SHARED], indirect=True)
def test_no_second_sum_is_opened_for_another_group(attempts):
    early = {"ready", "share"}
    federation, members = attempts.server(
        "second", lambda site, action: site == 3 and action in early
    )
    start = federation.init()
    state, record = federation.run_round(start)
    asked = [action for action, _ in members.sent]
    # Protocol A names its group in UPLOAD; in B an upload alone says nothing, and OPEN would.
    assert asked[-1] == "abort"
    assert not {"open"} & set(asked)
    assert ("upload" in asked) == (attempts.config.aggregation.kind == "shared_masks")
    assert set(record.dropped) == set(range(SITES))
    assert "may have been open" in record.lost
    assert state.round_num == 1
    assert params_sha256(state.params) == params_sha256(start.params)
    state, record = federation.run_round(state)
    assert set(record.dropped) == {3}
    assert json.loads(attempts.file.read_text().splitlines()[-1])["group"] == [0, 1, 2]
