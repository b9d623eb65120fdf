"""The table says what the runs say, and what a number does not tell stands beside it."""

import json
from statistics import mean, stdev

import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from fedket.errors import CheckpointError
from fedket.record_files import read_json
from fedket.reproduce.result import RowResult
from fedket.reproduce.table import COLUMNS, cells, document, markdown_table, remarks, used_in
from tests.reproduce.results import with_finals


@given(finals=st.lists(st.floats(0, 1), min_size=2, max_size=6))
def test_mean_deviation_and_difference_are_those_of_the_seeds(finals):
    result = with_finals(*finals)
    assert result.mean == pytest.approx(mean(finals))
    assert result.deviation == pytest.approx(stdev(finals))
    assert result.difference == pytest.approx(mean(finals) - 0.9)
    low, high = result.interval
    assert high - low == pytest.approx(2 * result.deviation * quantile(len(finals)))
    assert result.differs == (not low <= 0.9 <= high)


def quantile(n):
    """Half a 95 % interval of n values, in their standard deviations: Student's t / √n."""
    return scipy.stats.t.ppf(0.975, n - 1) / n**0.5


def test_numbers_of_runs_reach_the_table(reproduced):
    runs, _, made = reproduced
    for result in made.results[1:]:
        own = [run for run in runs if run.row.name == result.row]
        summaries = [json.loads((run.directory / "summary.json").read_text()) for run in own]
        assert [seed.final for seed in result.seeds] == [s["test_accuracy"] for s in summaries]
        assert [seed.best for seed in result.seeds] == [s["best_test_accuracy"] for s in summaries]
        assert [seed.key_bits for seed in result.seeds] == [s["key_bits"] for s in summaries]
        assert result.rounds == result.planned_rounds == 2
        assert result.parameters == 15
        assert result.machine.num_cpus
    assert all(seed.key_bits for seed in made.results[1].seeds)
    assert not any(seed.key_bits for seed in made.results[2].seeds)


def test_the_configuration_does_not_depend_on_seeds(reproduced):
    _, _, made = reproduced
    hashes = [result.config_sha256 for result in made.results]
    assert hashes[0] == ""
    assert len(set(hashes)) == 3


def row(result):
    return dict(zip(COLUMNS, cells(result), strict=True))


def test_a_row_in_words():
    shown = row(with_finals(0.80, 0.82, 0.84))
    assert shown["Ours, mean ± s. d."] == "82.00 ± 2.00 %"
    assert shown["95 % interval"] == "77.03 to 86.97 %"
    assert shown["Paper"] == "90.00 %"
    assert shown["Difference"] == "−8.00 points"
    assert shown["Seeds"] == "0, 1, 2"
    assert shown["Rounds"] == "10"
    assert shown["Note"] == "differs"


def test_losses_are_no_percentages():
    shown = row(with_finals(0.35, 0.36, 0.37, metric="test_loss", reported=0.3551))
    assert shown["Ours, mean ± s. d."] == "0.3600 ± 0.0100"
    assert shown["95 % interval"] == "0.3352 to 0.3848"
    assert (shown["Paper"], shown["Difference"]) == ("0.3551", "+0.0049")
    assert shown["Note"] == "test loss"


@pytest.mark.parametrize(
    ("result", "remark"),
    [
        (with_finals(0.9), "only 1 seed"),
        (with_finals(0.9, 0.91), "only 2 seeds"),
        (with_finals(0.9, 0.91, None), "1 not finite"),
        (with_finals(0.9, 0.91, 0.92, problem="diverged"), "seeds missing, see below"),
        (with_finals(), "not run"),
        (with_finals(problem="no file"), "not run, see below"),
    ],
)
def test_what_a_number_does_not_tell(result, remark):
    assert remark in remarks(result)


def test_less_than_everything_is_called_so(reproduced):
    few = with_finals(0.9, 0.9, 0.9, planned_rounds=100, profile="rounds-10")
    assert row(few)["Rounds"] == "10 of 100"
    assert "# made_up, profile rounds-10\n\nStopped early" in document("made_up", [few])
    fast = document("made_up", [few.model_copy(update={"profile": "fast"})])
    assert "# made_up, profile fast\n\nFast profile" in fast
    assert few.seconds_left == pytest.approx(90 * 2.0)
    assert "profile" not in reproduced[2].table.read_text()


def test_why_a_row_was_not_run_and_what_the_paper_leaves_open(reproduced):
    text = reproduced[2].table.read_text()
    assert "- Row adni-lost: no file at nowhere.npz" in text
    assert "- Adam: all rows\n" in text
    assert "- rate of mnist-plain: Row mnist-plain\n" in text


def test_many_rows_are_counted_and_few_are_named():
    assert used_in(["a", "b"], 3) == "a, b"
    assert used_in(["a", "b"], 2) == "all rows"
    assert used_in(list("abcde"), 9) == "5 of 9 rows"


@given(st.lists(st.tuples(st.text(), st.text()), max_size=3))
def test_any_text_fits_into_a_cell(rows):
    lines = markdown_table(("a", "b"), rows).splitlines()
    assert len(lines) == 2 + len(rows)
    assert {line.replace("\\|", "").count("|") for line in lines} == {3}


def test_a_stored_row_is_read_as_it_was(tmp_path):
    result = with_finals(0.1, 0.2, None)
    path = tmp_path / "x.json"
    path.write_text(result.model_dump_json())
    assert read_json(path, RowResult) == result


@pytest.mark.parametrize("change", [("0.2", '"0.2"'), ('"seeds"', '"seed"'), ("{", "[")])
def test_a_damaged_row_is_named(change, tmp_path):
    path = tmp_path / "x.json"
    path.write_text(with_finals(0.2).model_dump_json().replace(*change))
    with pytest.raises(CheckpointError, match=r"x\.json`( is damaged|, holds `seed`)"):
        read_json(path, RowResult)
