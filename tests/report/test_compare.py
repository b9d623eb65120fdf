"""A comparison shows what differs, and only that."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from fedket.report import read_run, write_report
from fedket.report.compare import comparison_page, differing_settings

MakeRun = Callable[..., Path]


def test_only_settings_that_differ_are_listed(make_run: MakeRun) -> None:
    runs = [make_run("a", rounds=1), make_run("b", rounds=1, seed=1, bits=8)]
    rows = dict(differing_settings([read_run(run) for run in runs]))
    assert rows == {"seed": ["0", "1"], "aggregation.bits": ["16", "8"]}


def test_a_setting_that_one_run_lacks_differs(make_run: MakeRun) -> None:
    runs = [make_run("a", rounds=1), make_run("b", rounds=1)]
    config = runs[1] / "config.toml"
    config.write_text(config.read_text().replace("num_layers = 20\n", ""))
    assert differing_settings([read_run(run) for run in runs]) == [
        ("model.num_layers", ["20", "–"])
    ]


def test_equal_configurations_are_called_equal(make_run: MakeRun) -> None:
    page = comparison_page([read_run(make_run("a", rounds=1)), read_run(make_run("b", rounds=1))])
    assert "the runs have the same configuration" in page


def test_results_are_those_of_the_summaries(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    runs = [make_run("a", name="plain", aggregation="plain", rounds=3), make_run("b", rounds=4)]
    path = write_report(runs)
    assert path == Path("comparison.html")
    rows = re.findall(r'<tr style="--swatch.*?</tr>', path.read_text())
    for row, run in zip(rows, runs, strict=True):
        totals = read_run(run).summary
        cells = dict(re.findall(r'data-label="(.*?)">(.*?)</td>', row))
        assert cells["Rounds"] == str(totals.rounds)
        assert float(cells["Accuracy"].split("\u202f")[0]) == pytest.approx(
            100 * totals.test_accuracy, abs=0.005
        )
        assert cells["Status"] == "finished"
    assert "float32" in rows[0]


def test_repeats_over_seeds_are_averaged(make_run: MakeRun) -> None:
    records = [read_run(make_run(f"s{s}", seed=s, rounds=3)) for s in (0, 1, 2)]
    accuracies = [100 * r.summary.test_accuracy for r in records]
    page = comparison_page(records)
    assert "Repeats over seeds" in page
    assert f"{sum(accuracies) / 3:.2f} ± " in page
    assert "seed 2</text>" in page
    assert "Repeats over seeds" not in comparison_page(records[:1] * 2)


def test_runs_of_any_state_and_number_compare(make_run: MakeRun) -> None:
    states = [
        make_run("empty", rounds=0, status=None),
        make_run("short", rounds=1, status="interrupted"),
        *(make_run(f"r{n}", name=f"run-{n}", rounds=2, num_clients=2) for n in range(20)),
    ]
    records = [read_run(run) for run in states]
    page = comparison_page(records)
    assert page.count("--swatch: var") == 22
    assert "No run has been evaluated yet" in comparison_page(records[:1] * 2)
