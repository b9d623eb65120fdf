"""What a server that lies to sites learns, and what they say: trust.md, T2 and T4.

Each attack works where nobody checks, and a site that was lied to keeps its update.
"""

import numpy as np
import pytest
from local_sites import (
    CONFIRMED,
    KINDS,
    SITES,
    LocalMembers,
    SessionKeys,
    experiment,
    federation_of,
    site_parts,
)
from lying_server import LyingServer

from fedket.deploy.given import GivenUpdates
from fedket.deploy.rounds import SiteRounds
from fedket.deploy.server_experiment import site_experiment
from fedket.deploy.site import Site
from fedket.deploy.site_trainer import make_task
from fedket.errors import CheckpointError, ProtocolError
from fedket.experiment.build import build_experiment
from fedket.federated.checkpoint import params_sha256
from fedket.federated.cohort import sample_cohort

SMALL = {"model": {"kind": "mlp", "hidden": [4]}, "training": {"epochs": 1, "batch_size": 16}}
OPENS = {"masked": "upload", "confirmed": "upload", "shared": "open", "malicious": "open"}
EVERYBODY = set(range(SITES))
VICTIM = 0


@pytest.fixture(scope="module")
def built():
    return build_experiment(experiment(KINDS["masked"], **SMALL))


def lying(monkeypatch, kind, built, lies, told=None, **ways):
    config = experiment((KINDS | CONFIRMED)[kind] | ways, **SMALL)
    members = federation_of(config, built, told=told)[1]
    return LyingServer(monkeypatch, config, built, members, members.keys, lies)


def counted(samples):
    """Tell every site these numbers of samples: site -> numbers, in the order of the sites."""

    def lies(site, action, payload):
        return {**payload, "samples": samples(site)} if "model" in payload else payload

    return lies


@pytest.mark.parametrize("kind", ["masked", "shared"])
def test_numbers_of_samples_cannot_make_the_sum_one_sites_update(monkeypatch, built, kind):
    """(a): the victim has all of them. It knows how many it has."""
    server = lying(monkeypatch, kind, built, counted(lambda _: [10**9, 1, 1, 1]))
    _, record = server.round()
    assert not server.given(OPENS[kind])
    assert record.lost
    for site, reason in server.said("model").items():
        told = "this site has 1000000000" if site == VICTIM else "site 0 has 1000000000"
        assert told in reason
        assert "were agreed for the session" in reason
    assert set(server.said("model")) == EVERYBODY


@pytest.mark.parametrize("kind", ["shared", "malicious", "confirmed"])
def test_numbers_that_are_right_for_each_site_by_itself_differ_from_the_others(
    monkeypatch, built, kind
):
    """(a) in a session that began with the lie: nobody finds it alone."""
    true = [len(indices) for indices in built.partition]

    def told(site):
        """Site 0 that it has nearly all samples, the others that it has nearly none."""
        lie = [1] * SITES if site == VICTIM else [10**9] * SITES
        return [true[i] if i == site else lie[i] for i in range(SITES)]

    def lies(site, action, payload):
        return {**payload, "samples": told(site)} if "samples" in payload else payload

    ways = {"max_share": 1.0}  # nor do they find that one has too large a share
    server = lying(monkeypatch, kind, built, lies, told, **ways)
    server.round()
    assert not server.given(OPENS[kind])
    assert "another cohort, other numbers of samples" in " ".join(
        reason for action in ("model", "upload") for reason in server.said(action).values()
    )


@pytest.mark.parametrize("kind", ["shared", "malicious", "confirmed"])
def test_a_model_of_its_own_cannot_make_the_sum_one_sites_update(monkeypatch, built, kind):
    """(b): the others get one that kills their gradients (Pasquini et al. 2022)."""

    def lies(site, action, payload):
        if action == "model" and site != VICTIM:
            payload = {**payload, "model": bytes(len(payload["model"]))}
        return payload

    server = lying(monkeypatch, kind, built, lies)
    _, record = server.round()
    assert not server.given(OPENS[kind])
    assert record.lost
    refused = server.said("upload")
    assert set(refused) == EVERYBODY
    assert all("was shown another model; the server lied" in why for why in refused.values())


def test_without_confirmation_a_lying_server_reads_a_single_update(monkeypatch, built):
    """(b) on pairwise masks: the docs say so, and what to do."""

    def lies(site, action, payload):
        if action == "model" and site != VICTIM:
            payload = {**payload, "model": bytes(len(payload["model"]))}
        return payload

    server = lying(monkeypatch, "masked", built, lies)
    server.round()
    assert server.given("upload") == EVERYBODY


@pytest.mark.parametrize("kind", ["masked", "shared"])
def test_a_cohort_that_was_not_drawn_is_refused(monkeypatch, kind):
    config = experiment(
        KINDS[kind],
        federation={"rounds": 3, "clients_per_round": 3},
        keys={"deadline_s": 0.0},
        **SMALL,
    )
    others = sample_cohort(config.seed, 1, SITES, 3)
    other = np.array([i for i in range(SITES) if i != others[0]], np.int32)
    monkeypatch.setattr("fedket.federated.federation.sample_cohort", lambda *_: other)
    federation, members = federation_of(config, build_experiment(config))
    with pytest.raises(
        ProtocolError, match=r"names sites \[\d\] in round 1, for which seed 0 draws"
    ):
        federation.run_round(federation.init())
    assert {action for action, _ in members.sent} == {"fill"}


def test_a_sum_over_another_cohort_than_that_of_the_weights_is_refused(monkeypatch, built):
    def lies(site, action, payload):
        return {**payload, "cohort": [0, 1, 2]} if action == "reserve" else payload

    server = lying(monkeypatch, "masked", built, lies)
    server.round()
    assert set(server.said("reserve")) == EVERYBODY
    assert all("refuses a sum over [0, 1, 2]" in why for why in server.said("reserve").values())


def test_the_graph_of_a_deployment_does_not_follow_from_the_seed_of_the_run(built):
    """T9: it is drawn when the cohort is known, and the same for all."""
    config = experiment(KINDS["masked"] | {"degree": 2}, **SMALL)
    seeds = []
    for _ in range(2):
        federation, members = federation_of(config, built)
        federation.run_round(federation.init())
        told = [p for action, p in members.sent if action in ("fill", "model", "reserve")]
        assert len({p["graph_seed"] for p in told}) == 1
        seeds.append(told[0]["graph_seed"])
    assert seeds[0] != seeds[1]
    assert len(seeds[0]) == 32


class Restarts:
    """Sites with a memory on disk, under servers that have none."""

    def __init__(self, kind, built, folder):
        self.config, self.built = experiment((KINDS | CONFIRMED)[kind], **SMALL), built
        self.folder, self.keys, self.sessions = folder, SessionKeys(), 0
        for i in range(SITES):
            (folder / str(i)).mkdir()
        self.restart()

    def restart(self):
        memories = (GivenUpdates(self.folder / str(i), "f00d") for i in range(SITES))
        self.sites = [
            Site(f"{i}", i, self.config, part, self.keys, memory.give)
            for i, (part, memory) in enumerate(zip(site_parts(self.built), memories, strict=True))
        ]

    def session(self, silent=None):
        """A server that knows nothing of what was before."""
        self.sessions += 1
        session = f"session {self.sessions}"
        members = LocalMembers(self.sites, silent)
        members.open(session)
        x = self.built.dataset.x_train
        task = make_task(self.config, x.shape[1:], self.built.dataset.num_classes)
        federation = site_experiment(
            task, SiteRounds(task, members, self.keys, session), None
        ).federation
        return federation, members


@pytest.fixture(params=KINDS | CONFIRMED)
def given(request, built, tmp_path):
    """Sites that gave their updates of round 2, and were restarted."""
    restarts = Restarts(request.param, built, tmp_path)
    federation, _ = restarts.session()
    restarts.states = [federation.init()]
    for _ in range(2):
        state, record = federation.run_round(restarts.states[-1])
        assert not record.lost
        restarts.states.append(state)
    restarts.restart()
    return restarts


def opened(members, kind):
    return any(action == OPENS_OF[kind] for action, _ in members.received)


OPENS_OF = {"pairwise_masks": "upload", "shared_masks": "open"}


def test_a_round_shown_again_gives_no_sum_of_another_group(given):
    """T4: the same model and cohort in a new session, but one site is said to be away."""
    early = {"ready", "share"}
    federation, members = given.session(lambda site, action: site == 3 and action in early)
    _, record = federation.run_round(given.states[1])
    assert not opened(members, given.config.aggregation.kind)
    assert "the difference would show single updates" in record.lost + str(record.dropped)


def test_a_round_shown_again_to_another_cohort_is_refused(given):
    federation, members = given.session()
    members.gather = lambda needed=0: {
        i: said["samples"] for i, said in members.handshakes.items() if i != 3
    }
    _, record = federation.run_round(given.states[1])
    assert not opened(members, given.config.aggregation.kind)
    assert "names cohort [0, 1, 2] or numbers" in record.lost + str(record.dropped)


def test_a_round_shown_again_with_another_model_is_refused(given):
    federation, members = given.session()
    state = given.states[0]._replace(round_num=1)
    _, record = federation.run_round(state)
    assert not opened(members, given.config.aggregation.kind)
    assert "it shows another model than that for which" in record.lost + str(record.dropped)


def test_an_earlier_round_is_refused_to_another_cohort_too(given):
    federation, members = given.session()
    members.gather = lambda needed=0: {
        i: said["samples"] for i, said in members.handshakes.items() if i != 0
    }
    _, record = federation.run_round(given.states[0])
    assert not opened(members, given.config.aggregation.kind)
    assert "repeats round 1: it names cohort [1, 2, 3]" in record.lost + str(record.dropped)


def test_a_round_that_was_cut_off_can_be_held_again(given):
    """By the same sites, from the same model: the sum says nothing new."""
    federation, _ = given.session()
    state, record = federation.run_round(given.states[1])
    assert not record.lost
    assert params_sha256(state.params) == params_sha256(given.states[2].params)
    _, record = federation.run_round(state)
    assert not record.lost


def test_a_damaged_memory_is_one_line(tmp_path):
    (tmp_path / "given.jsonl").write_text("{\n")
    with pytest.raises(CheckpointError, match=r"given\.jsonl"):
        GivenUpdates(tmp_path, "f00d")


def test_with_three_sites_and_no_colluders_the_record_says_what_a_curious_site_learns():
    """T12; the recommended setting for three sites has nothing to say of it."""
    ways = {"kind": "shared_masks", "bits": 16}
    said = [
        " ".join(experiment(ways | how).aggregation.caveats())
        for how in ({"colluders": 0, "threshold": 2}, {"colluders": 1, "threshold": 3})
    ]
    assert "with aggregation.threshold = 2 half of it" in said[0]
    assert "half of it" not in said[1]
