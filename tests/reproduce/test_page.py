"""The page shows the same numbers, and the curves are the means of the runs."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from fedket.report import read_run
from fedket.report.compare_figures import curve_of
from fedket.reproduce.page import RunRow, figure_groups, reproduction_page
from fedket.reproduce.table import cells
from tests.reproduce.results import RESULT, with_finals


@pytest.fixture
def records(reproduced):
    return [read_run(run.directory) for run in reproduced[0][-3:]]


def test_the_table_of_the_page_is_the_table(reproduced):
    page = reproduced[2].page.read_text()
    for result in reproduced[2].results:
        for cell in cells(result):
            assert cell in page


def test_the_page_needs_nothing_else(reproduced):
    page = reproduced[2].page.read_text()
    assert not re.search(r'(src|href)="(?!#)', page)
    assert "<script" not in page
    HTMLParser().feed(page)


def test_a_curve_holds_every_seed_in_the_rounds_they_share(records, reproduced):
    found = curve_of("x", records, "test_accuracy")
    assert found.x.tolist() == [1, 2]
    for values, run in zip(found.values, reproduced[0][-3:], strict=True):
        lines = (run.directory / "rounds.jsonl").read_text().splitlines()
        np.testing.assert_array_equal(values, [json.loads(x)["test_accuracy"] for x in lines])
    shorter = [records[0]._replace(rounds=records[0].rounds[1:]), *records[1:]]
    assert curve_of("x", shorter, "test_accuracy").x.tolist() == [2]


def test_a_page_without_any_run_has_no_figures():
    page = reproduction_page("p", [RunRow(RESULT, [])])
    assert "Learning curves" not in page
    assert "not run" in page


def test_rows_of_one_theme_share_a_figure():
    names = ["a-1", "a-2", "b", "c-1", *(f"c-{n}" for n in range(2, 11))]
    rows = [RunRow(with_finals(row=name), []) for name in names]
    groups = [[r.result.row for r in group] for group in figure_groups(rows)]
    assert [len(group) for group in groups] == [2, 1, 8, 2]
    assert [name for group in groups for name in group] == names
