"""QFedFisher from a configuration: records, costs, exact resume, and what is refused."""

import json
from importlib import import_module

import pytest

from fedket.errors import ConfigError
from fedket.experiment.build import build_experiment
from fedket.experiment.facts import count_facts
from fedket.experiment.run import resume_run, start_run
from tests.experiment.tiny import config_of, write_blobs

FISHER = "strategy={kind = 'qfedfisher', fisher_samples = 8}"
MASKED = "aggregation={kind = 'pairwise_masks', bits = 32, clip = 0.5}"


@pytest.fixture(scope="module")
def blobs(tmp_path_factory):
    return write_blobs(tmp_path_factory.mktemp("data") / "blobs.npz")


def metrics_of(run):
    lines = (run / "rounds.jsonl").read_text().splitlines()
    return [json.loads(line)["metrics"] for line in lines]


def test_a_masked_run_resumes_exactly_and_records_the_share_below_the_threshold(blobs, tmp_path):
    whole = start_run(config_of(blobs, FISHER, MASKED), output=tmp_path / "whole")
    first = config_of(blobs, FISHER, MASKED, "federation.rounds=2")
    start_run(first, output=tmp_path / "part")
    rest = resume_run(tmp_path / "part", config=config_of(blobs, FISHER, MASKED))
    assert rest.summary.parameters_sha256 == whole.summary.parameters_sha256
    whole_run, part_run = (metrics_of(tmp_path / name) for name in ("whole", "part"))
    assert whole_run == part_run
    assert all(0 <= metrics["threshold_fraction"] < 1 for metrics in whole_run)


def test_three_numbers_per_parameter_are_sent(blobs):
    ours, plain = (
        count_facts(build_experiment(config_of(blobs, *overrides))) for overrides in ([FISHER], [])
    )
    assert ours.upload_bytes_per_client == 3 * plain.upload_bytes_per_client


@pytest.mark.parametrize(
    ("overrides", "complaint"),
    [
        (["strategy.normalisation=none", MASKED], '"none" leaves Fisher information without'),
        (
            ["aggregation={kind = 'quantised', bits = 8}"],
            "Fisher information of 0.01 .* is less than one step of 8-bit words, 0.033",
        ),
        (
            ["aggregation={kind = 'quantised', bits = 16}", "strategy.mode=fisher_only"],
            "Fisher information of 1e-06 .* is less than one step of 16-bit words",
        ),
    ],
)
def test_words_too_coarse_for_the_threshold_are_refused(overrides, complaint, blobs):
    with pytest.raises(ConfigError, match=complaint):
        build_experiment(config_of(blobs, FISHER, *overrides))


def test_per_sample_gradients_beyond_memory_are_refused(blobs, monkeypatch):
    module = import_module("fedket.federated.qfedfisher")
    monkeypatch.setattr(module, "available_bytes", lambda: 1500)
    wide = "model={kind = 'mlp', hidden = [8]}"
    build_experiment(config_of(blobs, wide, FISHER, "strategy.fisher=literal"))
    with pytest.raises(ConfigError, match="gradients of 8 samples by 67 parameters need about"):
        build_experiment(config_of(blobs, wide, FISHER))


@pytest.mark.parametrize(
    ("multiplier", "threshold", "says"),
    [(2.0, 0.01, True), (2.0, 20.0, False), (0.0, 0.01, False)],
)
def test_a_threshold_below_the_noise_on_what_it_is_compared_with_is_told(
    multiplier, threshold, says, blobs
):
    """Below, noise would be divided by noise: with 20 clients at ε = 8 nothing is learnt."""
    noise = f"privacy={{kind = 'skellam', clip = 1.0, noise_multiplier = {multiplier}}}"
    own = (FISHER, MASKED, noise, f"strategy.threshold={threshold}")
    facts = count_facts(build_experiment(config_of(blobs, *own)))
    deviation = multiplier * (3 * facts.parameters) ** 0.5
    said = [words for words in facts.caveats.get("strategy", ()) if f"{deviation:.3g}" in words]
    assert bool(said) == says
