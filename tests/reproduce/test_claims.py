"""What a paper claims, beside what rows say: differences by seed, verdicts by the interval."""

import pytest

from fedket.errors import ConfigError
from fedket.report.statistics import estimate
from fedket.reproduce.claims import Change, Claim, Claims, claims_text, read_claims, verdict
from fedket.reproduce.result import SeedResult
from tests.reproduce.results import SEED, with_finals

ROWS = [with_finals(0.8, 0.81, 0.82), with_finals(0.70, 0.72, 0.71, 0.9, row="y")]


def cells(claims):
    line = claims_text(claims, ROWS).splitlines()[-1]
    return [cell.strip() for cell in line.strip("|").split("|")]


def claim(**values):
    made = {"paper": "made_up", "name": "P", "says": "so", "rows": ("x",), "theirs": 0.81}
    return Claims(claim=(Claim(**made | values),))


def test_a_mean_over_rows_and_a_difference_are_taken_seed_by_seed():
    assert cells(claim())[2:6] == ["81.00 %", "81.00 ± 0.58 %", "78.52 to 83.48 %", "3"]
    assert cells(claim(rows=("x", "y")))[3] == "76.00 ± 0.50 %"
    gap = ["−10.00", "+10.00 ± 0.58", "+7.52 to +12.48", "3"]
    assert cells(claim(minus=("y",), theirs=-0.1))[2:6] == gap


@pytest.mark.parametrize(
    ("theirs", "tolerance", "values", "said"),
    [
        (0.9, 0.0, [0.89, 0.90, 0.91], "undecided"),
        (0.9, 0.0, [0.899, 0.90, 0.901], "reproduced"),
        (0.9, 0.0, [0.879, 0.880, 0.881], "not"),
        (0.9, 0.02, [0.879, 0.880, 0.881], "reproduced"),
        (0.8, 0.0, [0.879, 0.880, 0.881], "better"),
        (0.9, 0.0, [0.9], "undecided"),
    ],
)
def test_a_verdict_is_what_the_interval_says(theirs, tolerance, values, said):
    assert verdict(theirs, tolerance, estimate(values)) == said


def test_one_seed_has_a_number_and_no_error():
    rows = [with_finals(seeds=(SeedResult(**SEED | {"seed": 0, "final": 0.8}),))]
    assert "| 80.00 % " in claims_text(claim(), rows)


def test_what_was_not_run_says_so():
    assert cells(claim(rows=(), why="An hour."))[3:] == ["–", "–", "–", "not run", "An hour."]


def test_a_change_is_tested_over_pairs_and_a_mean_of_models_against_the_last():
    change = Claims(change=(Change(paper="made_up", what="y", rows=("x",), minus=("y",)),))
    assert cells(change)[1:] == ["+10.00 ± 0.58", "+7.52 to +12.48", "3", "0.0033"]
    seeds = [SeedResult(**SEED | {"seed": n, "last": 0.4 + n / 100}) for n in (0, 1)]
    rows = [with_finals(seeds=tuple(seeds))]
    tail = Claims(change=(Change(paper="made_up", what="tail", rows=("x",)),))
    assert "| +9.50 ± 0.50 " in claims_text(tail, rows)


def test_a_row_that_is_not_stored_and_a_wrong_file_are_told(tmp_path):
    with pytest.raises(ConfigError, match="names the row `z` of made_up"):
        claims_text(claim(rows=("z",)), ROWS)
    (tmp_path / "claims.toml").write_text("[[claim]]\npaper = 1\n")
    with pytest.raises(ConfigError, match=r"claims\.toml"):
        read_claims(tmp_path)
