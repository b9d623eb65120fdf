"""A round whose sum cannot be opened is lost, and the run goes on; not for ever."""

import pytest

from fedket.errors import TrainingError
from fedket.experiment.run import LOST_IN_A_ROW, resume_run, start_run
from fedket.record_files import read_rounds

SHARED = (
    "aggregation.kind=shared_masks",
    "aggregation.threshold=5",
    "partition.num_clients=6",
)


def rounds_on_disk(directory):
    return list(read_rounds(directory))


def test_a_run_records_its_lost_rounds_and_goes_on(tiny, tmp_path):
    """In a resumed run as in an uninterrupted one."""
    config = tiny(*SHARED, "conditions.dropout=0.2", "federation.rounds=8")
    whole = start_run(config, output=tmp_path / "whole")
    rounds = rounds_on_disk(whole.directory)
    assert [line.round for line in rounds] == list(range(1, 9))
    lost = [line for line in rounds if line.lost]
    assert 0 < len(lost) < len(rounds)
    for line in lost:
        assert "5 must be" in line.lost
        assert line.train_loss is None
        assert tuple(line.dropped) == line.cohort
    assert all(line.train_loss is not None for line in rounds if not line.lost)
    assert all(line.test_accuracy is not None for line in rounds)
    part = start_run(
        tiny(*SHARED, "conditions.dropout=0.2", "federation.rounds=3"),
        output=tmp_path / "part",
    )
    again = resume_run(part.directory, config=config)
    assert again.summary.parameters_sha256 == whole.summary.parameters_sha256


def test_a_run_that_only_loses_rounds_stops_and_can_be_resumed(tiny, tmp_path):
    config = tiny(*SHARED, "conditions.dropout=0.95", "federation.rounds=20")
    with pytest.raises(
        TrainingError, match=r"3 rounds in a row were lost, the last because: .*5 must be"
    ):
        start_run(config, output=tmp_path / "run")
    assert len(rounds_on_disk(tmp_path / "run")) == LOST_IN_A_ROW
    with pytest.raises(TrainingError, match="resume"):
        resume_run(tmp_path / "run")
    rounds = rounds_on_disk(tmp_path / "run")
    assert [line.round for line in rounds] == list(range(1, 2 * LOST_IN_A_ROW + 1))
    assert all(line.lost for line in rounds)


def test_clients_that_diverge_lose_the_round(tiny, tmp_path):
    config = tiny("optimizer.kind=sgd", "optimizer.learning_rate=1e38", "training.epochs=20")
    with pytest.raises(TrainingError, match="none of 4 clients delivered a finite update; lower"):
        start_run(config, output=tmp_path / "run")


@pytest.mark.parametrize(
    "noise",
    [
        (),
        ("privacy.kind=gaussian", "privacy.clip=1", "privacy.noise_multiplier=1"),
        (
            "aggregation.kind=quantised",
            "privacy={kind='skellam', clip=1.0, noise_multiplier=1.0, survivors=1}",
        ),
    ],
    ids=["plain", "central noise", "clients' noise"],
)
def test_a_round_to_which_nobody_comes_is_lost_and_paid_for_and_training_goes_on(
    noise, tiny, tmp_path
):
    """Whoever was drawn for it has spent its part: that it was not there is not claimed."""
    drawn = ("federation.clients_per_round=2", "conditions.availability=0.5", "federation.rounds=8")
    rounds = rounds_on_disk(start_run(tiny(*noise, *drawn), output=tmp_path / "run").directory)
    empty = [line for line in rounds if len(line.dropped) == len(line.cohort)]
    assert 0 < len(empty) < len(rounds)
    for line in empty:
        assert "0 clients are there to the end, 1 must be" in line.lost
        before = rounds[line.round - 2] if line.round > 1 else None
        assert before is None or line.test_loss == before.test_loss
    assert any(not later.lost for later in rounds[empty[0].round :])
    spent = [line.epsilon for line in rounds]
    assert spent == sorted(spent) if noise else spent == [None] * len(rounds)
