"""The best model and the last round are chosen on the validation split, on nothing else."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file

from fedket.errors import ConfigError
from fedket.experiment.run import resume_run, start_run
from fedket.experiment.stopping import EarlyStoppingConfig, best_round, stops
from fedket.record import RoundRecord
from tests.experiment.tiny import rounds_of

SPLIT = ("data.validation_fraction=0.2", "optimizer.learning_rate=0.3")


def records_of(*losses):
    return [
        RoundRecord.model_validate(
            {"round": number, "cohort": (), "train_loss": 1.0, "seconds": 0.0, "key_bits": 0}
            | {"upload_bytes": 0, "download_bytes": 0, "validation_loss": loss}
        )
        for number, loss in enumerate(losses, start=1)
    ]


def test_the_best_round_is_the_first_of_equals_and_small_gains_do_not_postpone_the_end():
    records = records_of(3.0, None, 2.0, 2.0, 1.95)
    assert best_round(records, "loss") == 5
    assert best_round(records[:4], "loss") == 3
    assert best_round(records, "accuracy") is None
    assert best_round(records, "loss", min_delta=0.1) == 3
    assert stops(records, "loss", EarlyStoppingConfig(patience=2, min_delta=0.1))
    assert not stops(records, "loss", EarlyStoppingConfig(patience=3, min_delta=0.1))
    assert not stops(records, "loss", EarlyStoppingConfig(patience=1))
    assert not stops(records, "loss", None)
    unevaluated = [*records, *records_of(*[None] * 9)[5:]]
    assert not stops(unevaluated, "loss", EarlyStoppingConfig(patience=1))


@pytest.fixture(scope="module")
def stopped(blobs, tmp_path_factory):
    from tests.experiment.tiny import config_of

    more = "federation.rounds=40", "federation.early_stopping.patience=2"
    return start_run(config_of(blobs, *SPLIT, *more), output=tmp_path_factory.mktemp("s") / "run")


def test_a_run_ends_when_the_validation_loss_has_not_improved(stopped, tiny, tmp_path):
    losses = [record["validation_loss"] for record in rounds_of(stopped.directory)]
    best = int(np.argmin(losses)) + 1
    assert len(losses) == best + 2 < 40
    assert (stopped.summary.best_round, stopped.summary.status) == (best, "finished")
    assert stopped.summary.stopped == f"no better validation loss for 2 rounds, since round {best}"
    whole = start_run(tiny(*SPLIT, f"federation.rounds={best}"), output=tmp_path / "r")
    for name in ("best", "model"):
        found = load_file(whole.directory / f"{name}.safetensors")
        wanted = load_file(stopped.directory / "best.safetensors")
        for leaf, array in wanted.items():
            np.testing.assert_array_equal(found[leaf], array)


def test_the_split_is_taken_from_the_training_samples_before_they_are_dealt(stopped):
    facts = json.loads((stopped.directory / "model.json").read_text())
    assert (facts["num_train"], facts["num_validation"], facts["num_test"]) == (48, 12, 30)
    assert sum(map(sum, facts["label_counts"])) == 48


def test_a_run_that_was_cut_before_its_best_round_was_saved_finds_it_again(stopped, tiny, tmp_path):
    config = tiny(
        *SPLIT,
        "federation.rounds=40",
        "federation.early_stopping.patience=2",
        "federation.checkpoint_every=7",
    )

    def cut(record):
        if record.round == 2:
            raise KeyboardInterrupt

    start_run(config, cut, output=tmp_path / "run")
    resumed = resume_run(tmp_path / "run")
    again = resume_run(tmp_path / "run")
    for run in (resumed, again):
        assert run.summary.best_round == stopped.summary.best_round
        assert run.summary.parameters_sha256 == stopped.summary.parameters_sha256
        best = (run.directory / "best.safetensors").read_bytes()
        assert best == (stopped.directory / "best.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("federation.early_stopping.patience=3", "early_stopping needs a validation split"),
        ('federation.best_by="accuracy"', "best_by needs a validation split"),
        ("data.validation_fraction=1.0", "less than 1"),
    ],
)
def test_nothing_is_chosen_on_the_test_set(tiny, tmp_path, override, message):
    with pytest.raises(ConfigError, match=message):
        start_run(tiny(override), output=tmp_path / "run")
    assert not (tmp_path / "run").exists()
