"""Robust rules and attacks in experiments: what they see and go on from, what is refused."""

import numpy as np
import pytest

from fedket.deploy.deployable import check_deployable
from fedket.errors import ConfigError
from fedket.experiment.aggregation import first_context
from fedket.experiment.build import attack_of, build_experiment
from fedket.experiment.run import resume_run, start_run
from fedket.kinds import BUILT_IN
from fedket.record_files import read_rounds
from fedket.report import write_report
from fedket.secure.robust.kinds import CentredClippingConfig, MedianConfig, TrimmedMeanConfig
from fedket.secure.robust.reducer import as_vector, robust_sum
from fedket.types import Bound, RoundContext
from tests.experiment.tiny import config_of, write_blobs


@pytest.fixture(scope="module")
def blobs(tmp_path_factory):
    return write_blobs(tmp_path_factory.mktemp("data") / "blobs.npz")


def context_of(weights, bounds=Bound):
    return RoundContext(0, 1, tuple(range(len(weights))), tuple(weights), bounds)


def test_a_rule_sees_updates_without_weights_and_counts_each_client_once():
    updates = np.array([[1.0, 5.0], [2.0, 4.0], [9.0, 9.0]], np.float32)
    weights = [0.01, 0.09, 0.9]
    sent = {"w": np.array(weights, np.float32)[:, None] * updates}
    total, traffic = robust_sum(MedianConfig().rule())(sent, context_of(weights))
    np.testing.assert_allclose(total["w"], [2, 5], rtol=1e-6)
    assert (traffic.upload_bytes, traffic.key_bits) == (updates.nbytes, 0)


def test_what_is_not_weighted_is_seen_as_it_is_and_gives_a_sum():
    leaf = np.array([1.0, 2.0, 9.0], np.float32)
    sent = {"mean": leaf / 3, "sum": leaf}
    context = context_of([1 / 3] * 3, lambda c: {"mean": Bound(c), "sum": Bound(1.0, False)})
    total, _ = robust_sum(TrimmedMeanConfig(f=1).rule())(sent, context)
    np.testing.assert_allclose([total["mean"], total["sum"]], [2, 6], rtol=1e-6)


@pytest.mark.parametrize("engine", ["vectorised", "sequential"])
def test_centred_clipping_goes_on_from_the_last_sum_also_in_a_run_that_is_resumed(
    engine, blobs, tmp_path
):
    chosen = "aggregation={kind='centred_clipping', tau=0.02}", f"engine.kind={engine}"
    whole = start_run(config_of(blobs, *chosen), output=tmp_path / "whole").summary
    start_run(config_of(blobs, *chosen, "federation.rounds=2"), output=tmp_path / "parts")
    parts = resume_run(tmp_path / "parts", config=config_of(blobs, *chosen)).summary
    assert parts.parameters_sha256 == whole.parameters_sha256
    federation = build_experiment(config_of(blobs, *chosen)).federation
    state, _ = federation.run_round(federation.init(), False)
    first = as_vector(state.server.last)
    state, _ = federation.run_round(state, False)
    ways = np.array([first, as_vector(state.server.last) - first])
    assert (np.linalg.norm(ways, axis=1) <= 0.02 * (1 + 1e-5)).all()
    assert (np.linalg.norm(ways, axis=1) > 0.01).all()


def test_a_rule_that_goes_on_from_the_last_sum_is_not_run_without_it():
    with pytest.raises(ConfigError, match="does not say what the last one's sum was"):
        robust_sum(CentredClippingConfig().rule())({"w": np.ones((3, 2))}, context_of([1 / 3] * 3))


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ("aggregation={kind='krum', f=2}", "f = 2 attackers of 4 is more than the rule stands"),
        ("aggregation={kind='trimmed_mean', f=-1}", "aggregation.f"),
        ("aggregation={kind='norm_bound', c=0}", "aggregation.c"),
        ("aggregation={kind='geometric_median', f=1}", "aggregation.f"),
    ],
)
def test_what_a_rule_cannot_do_is_one_line(chosen, said, blobs):
    with pytest.raises(ConfigError, match=said) as raised:
        build_experiment(config_of(blobs, chosen))
    assert "\n" not in str(raised.value)


IMAGES = "data={kind='digits', max_train=60, max_test=40}"


@pytest.mark.parametrize("kind", BUILT_IN["attack"])
def test_an_attack_changes_the_run_says_that_it_is_simulated_and_resumes(kind, blobs, tmp_path):
    chosen = [f"attack={{kind='{kind}', clients=[1]}}", "federation.rounds=2", IMAGES]
    whole = start_run(config_of(blobs, *chosen), output=tmp_path / "whole")
    honest = start_run(config_of(blobs, *chosen[1:]), output=tmp_path / "honest").summary
    assert whole.summary.parameters_sha256 != honest.parameters_sha256
    start_run(config_of(blobs, *chosen, "federation.rounds=1"), output=tmp_path / "parts")
    parts = resume_run(tmp_path / "parts", config=config_of(blobs, *chosen)).summary
    assert parts.parameters_sha256 == whole.summary.parameters_sha256
    assert "Simulated: clients 1 attack" in write_report([tmp_path / "whole"], None).read_text()
    measured = [*read_rounds(tmp_path / "whole")][-1].metrics
    assert ("attack_success_rate" in measured) == (kind == "backdoor")


def test_a_share_of_attackers_is_drawn_by_the_seed(blobs):
    def drawn(*overrides):
        config = config_of(blobs, "partition.num_clients=10", *overrides)
        return attack_of(config, first_context(config)).clients

    some = drawn("attack={kind='mimic', share=0.3}")
    assert len(some) == 3
    assert some == drawn("attack={kind='gaussian', share=0.3}")
    assert len({drawn("attack={kind='mimic', share=0.3}", f"seed={n}") for n in range(4)}) > 1
    assert drawn("attack={kind='mimic', share=0.0}") == ()


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ("{kind='mimic'}", "say who attacks"),
        ("{kind='mimic', share=0.2, clients=[1]}", "say who attacks"),
        ("{kind='mimic', share=1.0}", "attack.share"),
        ("{kind='mimic', clients=[4]}", "should name some of the clients 0 to 3"),
        ("{kind='mimic', clients=[0, 1, 2, 3]}", "and not all"),
        ("{kind='mimic', clients=[0, 1]}", '2 attackers among the 4 clients .* "median" stands, 1'),
        ("{kind='backdoor', clients=[0], target=3}", "attack.target = 3, the data has 3 classes"),
        ("{kind='backdoor', clients=[0]}", "needs images"),
    ],
)
def test_attackers_that_cannot_be_are_one_line(chosen, said, blobs):
    with pytest.raises(ConfigError, match=said) as raised:
        build_experiment(config_of(blobs, "aggregation.kind=median", f"attack={chosen}"))
    assert "\n" not in str(raised.value)


def test_sites_do_not_play_attackers(blobs):
    config = config_of(blobs, "attack={kind='mimic', share=0.3}", "aggregation.kind=pairwise_masks")
    with pytest.raises(ConfigError, match="simulates attackers"):
        check_deployable(config, 4)


@pytest.mark.parametrize(
    ("chosen", "said"),
    [
        ("group_size=4", "makes 2 groups of 9 clients"),
        ("group_size=3, corrupt_fraction=0.3", "more than ln 2 / f = 2.31"),
        ("group_size=2, masks={kind='shared_masks', threshold=4}", "shared_masks need 4"),
        ("group_size=3, masks={kind='quantised'}", "hides nothing"),
        ("group_size=3, rule={kind='krum', f=2}", "f = 2 attackers of 3"),
        ("group_size=3, rule={kind='plain'}", "should be a subclass"),
        ("group_size=3, rule={kind='krum', f=1}, corrupt_fraction=0.05", "2 attackers of 9"),
    ],
)
def test_groups_that_cannot_be_are_one_line(chosen, said, blobs):
    chosen = f"aggregation={{kind='grouped', {chosen}}}"
    attack = "attack={kind='mimic', clients=[0, 1]}"
    with pytest.raises(ConfigError, match=said) as raised:
        build_experiment(config_of(blobs, "partition.num_clients=9", chosen, attack))
    assert "\n" not in str(raised.value)


def test_groups_are_not_for_sites_yet_and_a_simulated_run_over_them_resumes(blobs, tmp_path):
    chosen = (
        "partition.num_clients=9",
        "aggregation={kind='grouped', group_size=3, masks={kind='shared_masks', threshold=3}}",
        "conditions.dropout=0.05",
    )
    with pytest.raises(ConfigError, match="simulated only"):
        check_deployable(config_of(blobs, *chosen), 9)
    whole = start_run(config_of(blobs, *chosen), output=tmp_path / "whole").summary
    start_run(config_of(blobs, *chosen, "federation.rounds=1"), output=tmp_path / "parts")
    parts = resume_run(tmp_path / "parts", config=config_of(blobs, *chosen)).summary
    assert parts.parameters_sha256 == whole.parameters_sha256
    assert whole.key_bits > 0
