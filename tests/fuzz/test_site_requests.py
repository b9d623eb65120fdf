"""Garbage requests to a site: every one is answered, and then an honest session is held."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedket.deploy.messages import unpack
from fedket.deploy.rounds import SiteRounds
from fedket.deploy.server_experiment import site_experiment
from fedket.deploy.site import Site
from fedket.deploy.site_trainer import make_task
from fedket.experiment.build import build_experiment
from fedket.secure.phases import Failure, Reply
from tests.deploy.local_sites import KINDS, LocalMembers, SessionKeys, experiment, site_parts
from tests.fuzz.garbage import Garbage

SEEDS = st.integers(0, 2**63 - 1)


class Besieged(LocalMembers):
    """Sites that are sent other things besides; nobody waits for what they say to that."""

    garbage = None

    def execute(self, phase):
        for i in phase.to:
            self.assail(self.sites[i], phase.action, phase.payload_for(i))
        return super().execute(phase)

    def assail(self, site, action, payload):
        for _ in range(self.garbage.randrange(4) if self.garbage else 0):
            like, said = self.garbage.choice([(action, payload), *self.sent[-20:]])
            request = unpack({"reply": self.garbage.bent(said)}, "the server")
            if isinstance(request, Reply):
                forged = self.garbage.choice((like, action, "setup", "links", "fill", "gossip"))
                assert isinstance(site.handle(forged, request.payload), Reply | Failure)


@pytest.fixture(scope="module", params=["masked", "shared"])
def besieged(request):
    config = experiment(
        KINDS[request.param], model={"kind": "mlp", "hidden": [3]}, federation={"rounds": 1000}
    )
    built, keys = build_experiment(config), SessionKeys()
    sites = [Site(f"{i}", i, config, part, keys) for i, part in enumerate(site_parts(built))]
    return config, built, keys, Besieged(sites)


def rounds_of(besieged, session):
    config, built, keys, members = besieged
    members.open(session)
    members.sent.append(("setup", setup(members, session)))
    task = make_task(config, built.dataset.x_train.shape[1:], built.dataset.num_classes)
    return site_experiment(task, SiteRounds(task, members, keys, session), None).federation


def setup(members, session, **changed):
    counts = members.gather()
    sizes = {"classes": 3, "largest": max(counts.values())}
    return {
        "session": session,
        "sites": [*counts],
        "samples": [*counts.values()],
        **sizes,
    } | changed


@pytest.mark.parametrize(
    "size",
    [{"classes": n} for n in (-1, 0, 2, 2**16 + 1)] + [{"largest": n} for n in (-1, 0, 10**9 + 1)],
)
def test_a_session_of_other_sizes_than_can_be_is_refused(besieged, size):
    members = besieged[3]
    outcome = members.sites[0].handle("setup", setup(members, "too large", **size))
    assert isinstance(outcome, Failure)
    assert "classes" in outcome.reason


@settings(max_examples=1)
@given(seed=SEEDS)
def test_an_honest_session_is_held_after_any_requests(besieged, seed):
    members = besieged[3]
    members.garbage = Garbage(seed)
    federation = rounds_of(besieged, f"besieged {seed}")
    federation.run_round(federation.init())
    members.garbage = None
    federation = rounds_of(besieged, f"honest {seed}")
    _, record = federation.run_round(federation.init())
    assert not record.lost
    assert not record.dropped
