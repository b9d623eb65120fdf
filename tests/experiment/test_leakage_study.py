"""What a curious server reads out of sums of updates; the attack itself is tested beside secure."""

import json
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from typer.testing import CliRunner

from fedket.cli.app import app
from fedket.errors import ConfigError
from fedket.experiment.leakage_study import measure_leakage
from fedket.leakage import Inversion, auc, clipped, group_sums, match_guesses
from tests.experiment.tiny import config_of

VQC = "model={kind='vqc', circuit='qunetqfl', num_qubits=2, num_layers=1}"
EFFORT = Inversion(steps=3, restarts=1)


def test_a_member_is_told_from_its_own_update_and_not_from_masked_words(blobs):
    one, two, masked, noised = measure_leakage(
        config_of(blobs, VQC), [1, 2], [1e6], num_victims=8, samples_each=1, effort=EFFORT
    )
    assert [p.name for p in (one, two, masked)] == ["one client", "sum of 2", "one client, masked"]
    assert one.membership_auc > two.membership_auc > 0.5
    assert max(abs(masked.membership_auc - 0.5), abs(noised.membership_auc - 0.5)) < 0.25
    assert noised.epsilon < 1e-3
    assert one.epsilon is None


def test_all_but_one_that_collude_leave_an_update_under_its_own_noise(blobs):
    """Noise made for them hides it as noise on a plain update does; else it has a part of that."""
    measure = partial(measure_leakage, config_of(blobs, VQC), num_victims=8, effort=EFFORT)
    plain = measure([1], [0.1])[-1]
    made_for_it = measure([4], [0.1], colluders=3, expected=3)[-1]
    made_for_none = measure([4], [0.2], colluders=3)[-1]
    assert made_for_it._replace(clients=1, colluders=0) == plain
    assert made_for_none[4:10] == plain[4:10]
    assert made_for_it.name == "3 of 4 collude"


@pytest.mark.parametrize(
    ("sizes", "given", "said"),
    [
        ([4], {"num_victims": 8, "colluders": 4}, "leaves nobody to attack; use at most 3"),
        ([3], {"num_victims": 8}, "8 victims do not make whole sums of 3 clients"),
        ([1], {"num_victims": 10**6}, "use fewer victims or samples"),
    ],
)
def test_what_cannot_be_attacked_is_said(blobs, sizes, given, said):
    with pytest.raises(ConfigError, match=said):
        measure_leakage(config_of(blobs, VQC), sizes, **given)


def test_sums_of_clipped_updates_move_by_no_more_than_the_clip():
    updates = jax.random.normal(jax.random.key(0), (6, 5)) * jnp.arange(1, 7)[:, None]
    bounded = clipped(updates, 2.0)
    assert np.linalg.norm(bounded, axis=1).max() <= 2 + 1e-6
    np.testing.assert_allclose(bounded[0], updates[0] * min(1, 2 / np.linalg.norm(updates[0])))
    np.testing.assert_allclose(group_sums(updates, 3)[1], updates[3:].sum(axis=0), rtol=1e-6)


def test_guesses_of_a_label_are_matched_in_the_best_order():
    truth = np.eye(4)
    labels = np.array([0, 0, 1, 1])
    np.testing.assert_array_equal(match_guesses(truth[[1, 0, 3, 2]], truth, labels), truth)
    # Those of another label are not taken, even where they fit.
    np.testing.assert_array_equal(match_guesses(truth[::-1], truth, labels)[:2], truth[[3, 2]])


def test_auc_counts_pairs():
    assert auc(np.array([3.0, 2.0]), np.array([1.0, 2.5, 0.0])) == pytest.approx(5 / 6)


@pytest.mark.long
def test_the_command_prints_a_table_or_json_and_draws(tmp_path):
    plot = tmp_path / "leakage.png"
    command = ["leakage", "quickstart", "--clients", "1", "--noise", "1", "--victims", "2"]
    command += ["--steps", "2", "--set", "model.num_qubits=6", "--set", "model.num_layers=1"]
    result = CliRunner().invoke(app, [*command, "--plot", str(plot)], catch_exceptions=False)
    assert result.exit_code == 0
    assert plot.stat().st_size > 5000
    assert len(result.output.splitlines()) == 6
    points = json.loads(CliRunner().invoke(app, [*command, "--json"]).output)["points"]
    assert [point["view"] for point in points] == ["sum", "masked", "sum"]


@pytest.mark.parametrize("numbers", ["0,1", "1.5", "x", ""])
def test_numbers_of_clients_are_whole_and_above_0(numbers):
    result = CliRunner().invoke(app, ["leakage", "quickstart", "--clients", numbers])
    assert "whole numbers above 0, such as 1,4,16" in str(result.exception)
