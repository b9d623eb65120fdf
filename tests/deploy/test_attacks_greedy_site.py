"""A site that says it has nearly all samples owns no step of the model: trust.md, T2 (c)."""

import pytest
from local_sites import KINDS, experiment, federation_of

from fedket.errors import ConfigError
from fedket.experiment.build import build_experiment
from fedket.secure.phases import Failure
from fedket.secure.shares import check_shares, within_share
from fedket.types import RoundContext

MANY = 10**9
TABLES = {
    "partition": {"kind": "iid", "num_clients": 4},
    "model": {"kind": "mlp", "hidden": [4]},
    "training": {"epochs": 1, "batch_size": 16},
}
GREEDY = 2


@pytest.fixture(scope="module")
def built():
    return build_experiment(experiment(KINDS["masked"], **TABLES))


def with_a_greedy_site(built, monkeypatch, **ways):
    """Sites of which one has said that it has far more samples than the others."""
    true = [len(indices) for indices in built.partition]
    said = [MANY if i == GREEDY else count for i, count in enumerate(true)]
    config = experiment(KINDS["masked"] | ways, **TABLES)
    federation, members = federation_of(config, built, told=lambda i: true)
    for site in members.sites:  # all went by what it said when the session began
        site._session = site._session._replace(
            agreed=site._session.agreed._replace(samples=dict(enumerate(said)))
        )
    monkeypatch.setattr(members, "gather", lambda needed=0: dict(enumerate(said)))
    return federation, members


def test_a_site_that_says_it_has_nearly_all_samples_is_left_out_by_the_server(built, monkeypatch):
    federation, _ = with_a_greedy_site(built, monkeypatch)
    _, record = federation.run_round(federation.init())
    assert set(record.dropped) == {GREEDY}
    assert "100.0% of the samples" in record.dropped[GREEDY]
    assert not record.lost


def test_sites_refuse_a_round_in_which_one_has_too_large_a_share(built, monkeypatch):
    """Whatever the server goes by."""
    _, members = with_a_greedy_site(built, monkeypatch)
    counts = list(members.gather().values())
    request = {"round_num": 1, "cohort": [0, 1, 2, 3], "samples": counts, "graph_seed": b""}
    for site in members.sites:
        refused = site.handle("fill", request)
        assert isinstance(refused, Failure)
        assert "client 2 has 100.0% of the samples of 4 clients" in refused.reason


@pytest.mark.parametrize("max_share", [0.25, 0.4, 0.75])
@pytest.mark.parametrize("claims", [(1, 1, 1, MANY), (MANY, 1, 1, MANY), (3, 3, 2, 2)])
def test_whoever_is_left_has_at_most_the_share(claims, max_share):
    samples = dict(enumerate(claims))
    kept, out = within_share(max_share, samples)
    assert {*kept, *out} == set(samples)
    total = sum(samples[i] for i in kept)
    assert len(kept) == 1 or all(samples[i] <= (max_share + 1e-6) * total for i in kept)
    if len(kept) > 1:
        weights = tuple(samples[i] / total for i in kept)
        check_shares(max_share, RoundContext(0, 1, tuple(kept), weights))


def test_a_share_that_nobody_can_keep_is_a_configuration_error(built):
    ways = {**KINDS["masked"], "max_share": 0.2}
    with pytest.raises(ConfigError, match=r"an even share of 4 clients is 0\.25"):
        build_experiment(experiment(ways, **TABLES))
