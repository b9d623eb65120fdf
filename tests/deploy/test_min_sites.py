"""Sums over few sites: neither the server opens them, nor does a site give its update to one."""

import pytest
from local_sites import KINDS, experiment, federation_of

from fedket.errors import ProtocolError
from fedket.experiment.build import build_experiment

SMALL = {"kind": "vqc", "num_qubits": 6, "num_layers": 1}


@pytest.fixture(scope="module", params=["masked", "shared"])
def parts(request):
    config = experiment(KINDS[request.param], model=SMALL)
    return config, build_experiment(config)


def held(parts, away, min_sites):
    """One round of four sites; those `away` are not there, `away(site, action)` fall silent."""
    federation, members = federation_of(*parts, min_sites=min_sites)
    if callable(away):
        members.silent = away
    else:
        members.absent = lambda: {i: f"site {i} is away" for i in away}
    return federation.run_round(federation.init())[1], members


def test_a_site_refuses_a_list_that_its_operator_finds_too_short(parts):
    record, members = held(parts, (), (2, 4))
    assert not record.lost
    strict = federation_of(*parts, min_sites=(2, 5))[1].sites[0]
    about = {"cohort": list(range(4)), "samples": list(members.gather().values())}
    outcome = strict.handle("fill", {"round_num": 1, "graph_seed": bytes(32)} | about)
    refusal = "round 1 would be of 4 sites; site site-0 gives its update to sums over 5 or more"
    assert refusal in outcome.reason


def test_the_server_begins_no_round_of_fewer(parts):
    assert not held(parts, (3,), (3, 3))[0].lost
    with pytest.raises(ProtocolError, match="3 of 4 sites are there; 4 must be in a sum"):
        held(parts, (3,), (4, 4))


def test_a_sum_is_not_opened_when_too_few_are_left_and_nobody_is_to_blame():
    config = experiment(KINDS["shared"], model=SMALL)
    parts = config, build_experiment(config)

    def away(site, action):
        return (site, action) == (3, "upload")

    assert not held(parts, away, (3, 3))[0].lost
    record, members = held(parts, away, (4, 3))
    assert (
        record.lost == "round 1 has 3 clients left, 4 are the least over which a sum may be opened"
    )
    assert set(record.dropped.values()) == {"the round was lost"}
    assert "open" not in {action for action, _ in members.sent}
    record, members = held(parts, away, (3, 4))
    assert "client 0 refuses a sum over 3 clients, 4 are the least" in record.dropped[0]


def test_the_first_sum_needs_three_quarters_also_where_sites_go_away_during_the_round():
    config = experiment(KINDS["masked"], model=SMALL)
    away = set()
    federation, _ = federation_of(
        config,
        build_experiment(config),
        silent=lambda site, action: site in away and action == "ready",
        first=0.75,
    )
    state, records = federation.init(), []
    for gone in ({2, 3}, {3}, {2, 3}):
        away.clear()
        away.update(gone)
        state, record = federation.run_round(state)
        records.append(record)
    assert records[0].lost.startswith("round 1 has 2 clients left, 3 are the least")
    assert [set(record.dropped) for record in records[1:]] == [{3}, {2, 3}]
    assert not records[1].lost
    assert not records[2].lost
