"""`[privacy]` from TOML to a run directory: what it promises, spends, and refuses."""

import pytest

from fedket.cli.progress import print_facts
from fedket.errors import BudgetSpentError, ConfigError, UserCodeError
from fedket.experiment.build import build_experiment
from fedket.experiment.facts import count_facts
from fedket.experiment.load import parse_config
from fedket.experiment.privacy import rounds_each
from fedket.experiment.run import resume_run, start_run
from fedket.record import RoundRecord, Summary
from fedket.record_files import read_json, read_rounds
from fedket.report import write_report
from fedket.secure.privacy import epsilon_of, gaussian_curve
from tests.experiment.tiny import config_of, values_of, write_blobs

NOISE = ("privacy.kind=skellam", "privacy.clip=0.5", "aggregation.kind=quantised")


@pytest.fixture(scope="module")
def blobs(tmp_path_factory):
    return write_blobs(tmp_path_factory.mktemp("data") / "blobs.npz")


def a_run(blobs, output, *overrides):
    return start_run(config_of(blobs, *NOISE, *overrides), output=output)


def test_what_show_says_is_what_the_last_round_has_spent(blobs, tmp_path):
    config = config_of(blobs, *NOISE, "privacy.epsilon=6.0")
    promise = count_facts(build_experiment(config)).privacy
    assert 5.9 < promise.epsilon <= 6.0
    directory = start_run(config, output=tmp_path / "run").directory
    records = list(read_rounds(directory))
    assert [r.clipped_updates is not None for r in records] == [True] * 3
    spent = [r.epsilon for r in records]
    assert spent == sorted(spent)
    assert spent[-1] == pytest.approx(promise.epsilon, abs=1e-9)
    page = write_report([directory], None).read_text()
    assert "Privacy spent" in page
    assert f"{promise.epsilon:.4g}" in page


def test_a_run_stops_before_the_round_that_it_cannot_pay_for_and_keeps_the_others(blobs, tmp_path):
    with pytest.raises(BudgetSpentError, match="round 3 would bring epsilon to") as error:
        a_run(blobs, tmp_path / "run", "privacy.noise_multiplier=2.0", "privacy.epsilon=3.6")
    assert "\n" not in str(error.value)
    assert read_json(tmp_path / "run" / "summary.json", Summary).rounds == 2
    assert (tmp_path / "run" / "model.safetensors").exists()
    with pytest.raises(BudgetSpentError, match="round 3"):
        resume_run(tmp_path / "run")
    assert len(list(read_rounds(tmp_path / "run"))) == 2


def test_a_round_that_is_run_again_is_paid_for_again(blobs, tmp_path):
    keys = "privacy.noise_multiplier=2.0", "federation.rounds=1"
    directory = a_run(blobs, tmp_path / "run", *keys).directory
    once = next(read_rounds(directory)).epsilon
    note = (directory / "privacy.jsonl").read_text()
    (directory / "privacy.jsonl").write_text(note + note.replace("1,", "2,", 1) + '{"round": 2, ')
    config = config_of(blobs, *NOISE, "privacy.noise_multiplier=2.0", "federation.rounds=2")
    resume_run(directory, config=config)
    records: list[RoundRecord] = list(read_rounds(directory))
    assert len((directory / "privacy.jsonl").read_text().splitlines()) == 3
    plain = a_run(blobs, tmp_path / "other", "privacy.noise_multiplier=2.0").directory
    thrice = list(read_rounds(plain))[2].epsilon
    assert once < records[1].epsilon == pytest.approx(thrice)


def test_without_noise_a_run_promises_nothing_and_is_clipped(blobs, tmp_path):
    directory = a_run(blobs, tmp_path / "run", "privacy.noise_multiplier=0").directory
    assert [r.epsilon for r in read_rounds(directory)] == [None] * 3


def test_a_client_pays_for_the_rounds_it_is_drawn_for(blobs):
    config = config_of(blobs, "federation.clients_per_round=2", "federation.rounds=40")
    assert 20 <= rounds_each(config) < 40


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        (["privacy.clip=1"], "asks for no noise"),
        (["privacy.noise_multiplier=1"], "privacy.clip"),
        (["privacy.clip=1", "privacy.epsilon=1", "privacy.colluders=4"], "nobody's noise would"),
        (["privacy.clip=1", "privacy.epsilon=1", "privacy.survivors=5"], "a round has 4 clients"),
        (
            ["privacy.clip=1", "privacy.noise_multiplier=1", "aggregation.bits=4"],
            "use more bits",
        ),
        (["privacy.clip=1", "privacy.epsilon=1", "aggregation.kind=plain"], "sum of words"),
        (["privacy.clip=1", "privacy.epsilon=1e-7"], "no noise gives epsilon"),
    ],
)
def test_what_cannot_be_promised_is_refused_in_one_line(overrides, complaint, blobs):
    def promise():
        base = ["aggregation.kind=quantised", "privacy.kind=skellam"]
        return count_facts(build_experiment(config_of(blobs, *base, *overrides)))

    with pytest.raises(ConfigError) as error:
        promise()
    assert complaint in str(error.value)
    assert "\n" not in str(error.value)


def test_show_says_epsilon_and_the_noise_for_it(blobs, capsys):
    config = config_of(blobs, "privacy.kind=gaussian", "privacy.clip=1", "privacy.epsilon=2.0")
    print_facts(count_facts(build_experiment(config)), "never")
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("privacy")]
    assert "epsilon 1.99" in line or "epsilon 2 at" in line
    assert "after 3 rounds of a client: gaussian noise, multiplier" in line


def test_with_dp_sgd_a_sample_pays_for_every_epoch(blobs, tmp_path):
    keys = "privacy.kind=dp_sgd", "privacy.clip=1.0", "training.epochs=2"
    config = config_of(blobs, *keys, "privacy.epsilon=4.0")
    promise = count_facts(build_experiment(config)).privacy
    noise = promise.noise_multiplier
    assert 3.95 < promise.epsilon <= 4.0
    assert promise.epsilon == pytest.approx(epsilon_of(3 * 2 * gaussian_curve(noise), 1e-5))
    records = list(read_rounds(start_run(config, output=tmp_path / "run").directory))
    assert records[-1].epsilon == pytest.approx(promise.epsilon)


@pytest.mark.parametrize("other", ["strategy.kind=qfedfisher", "optimizer.kind=natural_gradient"])
def test_dp_sgd_refuses_what_looks_at_samples_beside_the_gradient(other, blobs):
    keys = "privacy.kind=dp_sgd", "privacy.clip=1.0", "privacy.noise_multiplier=1"
    config = config_of(blobs, *keys, other, "model={kind='vqc', num_qubits=3, num_layers=1}")
    with pytest.raises(ConfigError, match="does not cover what"):
        build_experiment(config)


def test_a_clip_that_follows_the_norms_is_paid_for_and_stays_in_the_checkpoint(blobs, tmp_path):
    """The vote on the clip is one coordinate more under the same noise: 3 % more of it."""
    keys = "privacy.epsilon=6.0", "privacy.quantile=0.5", "federation.rounds=2"
    fixed = count_facts(build_experiment(config_of(blobs, *NOISE, keys[0], keys[2]))).privacy
    config = config_of(blobs, *NOISE, *keys)
    following = count_facts(build_experiment(config)).privacy
    assert following.clip == fixed.clip
    assert following.noise_multiplier == pytest.approx(fixed.noise_multiplier, rel=0.01)
    records = list(read_rounds(start_run(config, output=tmp_path / "run").directory))
    assert all("within_clip" in r.metrics for r in records)
    resumed = config_of(blobs, *NOISE, *keys)
    assert resume_run(tmp_path / "run", config=resumed).summary.rounds == 2


OWN = """
from fedket import PrivacyConfig

class Number(PrivacyConfig):
    def build(self, context):
        return 7

class Broken(PrivacyConfig):
    def build(self, context):
        return self.sigma
"""


@pytest.mark.parametrize(
    ("kind", "said"),
    [("Number", "returned a int; it should return a fedket.privacy.Mech"), ("Broken", "line 10")],
)
def test_a_promise_of_ones_own_that_fails_is_named(kind, said, blobs, tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    own = f"privacy={{kind='own.py:{kind}', clip=1.0, noise_multiplier=1.0}}"
    with pytest.raises(UserCodeError, match=said):
        build_experiment(parse_config(values_of(blobs, own), "test", tmp_path))
