"""What an estimate tries: some steps of each kind of run, whatever the runs' length."""

import pytest

from fedket.sweeps import estimate as estimates
from fedket.sweeps.pool import Task
from tests.experiment.tiny import config_of, write_blobs


@pytest.fixture
def probed(monkeypatch):
    """Configurations of which rounds were timed, as they come."""
    built, build = [], estimates.build_experiment
    monkeypatch.setattr(
        estimates, "build_experiment", lambda config: built.append(config) or build(config)
    )
    return built


def test_long_runs_that_differ_in_their_steps_alone_are_told_by_a_few_steps_of_one(
    probed, tmp_path
):
    data = write_blobs(tmp_path / "blobs.npz", num_train=600)
    long = ("training.epochs=1000", "federation.eval_every=1000000")
    changes = [long, (*long, "partition.num_clients=2", "name=two"), (*long, "federation.rounds=6")]
    tasks = [Task(config_of(data, *c), tmp_path / str(i)) for i, c in enumerate(changes)]
    found = estimates.estimate(tasks, 1)
    assert [config.training.epochs for config in probed] == [1000, 1]  # built to be counted, tried
    assert estimates.local_steps(probed[-1], probed[-1].data.max_train) <= estimates.PROBED_STEPS
    assert estimates.local_steps(probed[0], 600) == 4 * 1000 * 19
    first, fewer, longer = found.each
    assert fewer == pytest.approx(first)  # half as many clients with twice as many samples
    assert 0 < longer / 2 < first  # its program is the first one's, which compiles it
    assert found.problem == ""


def test_short_runs_are_tried_as_they_are(probed, tmp_path):
    data = write_blobs(tmp_path / "blobs.npz")
    tasks = [Task(config_of(data, f"partition.num_clients={n}"), tmp_path / str(n)) for n in (2, 4)]
    assert all(estimates.estimate(tasks, 1).each)
    assert [config.num_clients for config in probed] == [2, 4]


def test_key_is_spent_for_as_many_rounds_as_are_tried(probed, tmp_path):
    """Of the machine's own generator; a round tried twice would be refused."""
    data = write_blobs(tmp_path / "blobs.npz")
    masks = ("aggregation.kind=pairwise_masks", "aggregation.clip=1.0")
    found = estimates.estimate([Task(config_of(data, *masks), tmp_path / "run")], 1)
    assert (found.problem, len(probed)) == ("", 1)
