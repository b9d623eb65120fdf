"""What a server remembers of opened sums: every round of an experiment, in whatever run."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from local_sites import SITES, experiment

from fedket.deploy.deployable import check_deployable
from fedket.deploy.project import for_sites
from fedket.errors import CheckpointError, ConfigError, RoundLostError
from fedket.secure.differencing_guard import OPENED, OpenedSums
from fedket.types import RoundContext

EVERYBODY = (0, 1, 2)


def round_of(round_num, cohort=EVERYBODY, weights=None):
    shares = weights or (1 / len(cohort),) * len(cohort)
    return RoundContext(0, round_num, cohort, shares, lambda clip: clip)


@given(rounds=st.lists(st.integers(1, 20), min_size=1, max_size=12, unique=True))
def test_every_round_is_remembered_not_the_latest_alone(tmp_path_factory, rounds):
    """A server that goes back to a checkpoint trains several rounds again."""
    file = tmp_path_factory.mktemp("server") / OPENED
    opened = OpenedSums(file, "f00d")
    for round_num in rounds:
        opened.admit(round_of(round_num), EVERYBODY)
    again = OpenedSums(file, "f00d")
    for round_num in rounds:
        again.admit(round_of(round_num), EVERYBODY)
        with pytest.raises(RoundLostError, match="another seed"):
            again.admit(round_of(round_num), (0, 1))
        with pytest.raises(RoundLostError):
            again.admit(round_of(round_num, (0, 1)), (0, 1))
    assert len(file.read_text().splitlines()) == len(rounds)


def test_the_same_sites_with_other_weights_are_another_sum(tmp_path):
    opened = OpenedSums(tmp_path / OPENED, "f00d")
    opened.admit(round_of(1), EVERYBODY)
    with pytest.raises(RoundLostError):
        opened.admit(round_of(1, weights=(0.5, 0.25, 0.25)), EVERYBODY)


def test_another_experiment_has_a_memory_of_its_own_in_the_same_file(tmp_path):
    OpenedSums(tmp_path / OPENED, "f00d").admit(round_of(1), EVERYBODY)
    OpenedSums(tmp_path / OPENED, "beef").admit(round_of(1, (0, 1)), (0, 1))
    with pytest.raises(RoundLostError):
        OpenedSums(tmp_path / OPENED, "f00d").admit(round_of(1, (0, 1)), (0, 1))


def test_half_a_line_of_a_server_that_died_opened_nothing(tmp_path):
    file = tmp_path / OPENED
    OpenedSums(file, "f00d").admit(round_of(1), EVERYBODY)
    whole = file.read_text()
    file.write_text(whole + whole[:30])
    opened = OpenedSums(file, "f00d")
    opened.admit(round_of(2), (0, 1))
    assert [json.loads(line)["round"] for line in file.read_text().splitlines()] == [1, 2]


@pytest.mark.parametrize("line", ["{", "[]", "{}", "7"])
def test_a_damaged_file_ends_the_run_with_one_line(tmp_path, line):
    (tmp_path / OPENED).write_text(line + "\n")
    with pytest.raises(CheckpointError, match="is damaged at"):
        OpenedSums(tmp_path / OPENED, "f00d")


def test_a_federation_saves_every_round_whatever_the_experiment_says():
    config = experiment(
        {"kind": "pairwise_masks", "bits": 16},
        federation={"rounds": 3, "checkpoint_every": 5},
        keys={"kind": "etsi014"},
        engine={"kind": "flare"},
    )
    with pytest.raises(ConfigError, match=r"checkpoint_every is 5"):
        check_deployable(config, SITES)
    assert for_sites(config, SITES).federation.checkpoint_every == 1


def test_messages_without_macs_are_refused_in_a_federation():
    config = experiment(
        {"kind": "pairwise_masks", "bits": 16, "authenticate": False},
        keys={"kind": "etsi014"},
        engine={"kind": "flare"},
    )
    with pytest.raises(ConfigError, match=r"authenticate is false"):
        check_deployable(config, SITES)
