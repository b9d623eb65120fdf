"""A comparison shows what differs, and only that."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fedket.errors import CheckpointError, ConfigError
from fedket.report import View, read_run, write_report
from fedket.report.compare import comparison_page, comparison_table
from fedket.report.setting_tables import differences
from fedket.report.settings import differing_settings, group_runs
from fedket.report.statistics import estimate

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


def test_runs_that_differ_in_their_seed_are_one_line_with_a_band(make_run: MakeRun) -> None:
    records = [read_run(make_run(f"s{s}", seed=s, rounds=3)) for s in (0, 1, 2)]
    found = estimate([100 * r.summary.test_accuracy for r in records])
    page = comparison_page(records)
    assert "Results over seeds" in page
    assert f"{found.mean:.2f} ± {found.se:.2f}" in page
    assert "95% interval of the mean over seeds" in page
    assert "Results over seeds" not in comparison_page(records[:1] * 2)


def grid(make_run: MakeRun, **changes: Any) -> list[Path]:
    """Two strategies and two splits, with three seeds each."""
    return [
        make_run(
            f"{kind}-{alpha}-{seed}",
            strategy=kind,
            alpha=alpha,
            seed=seed,
            rounds=2,
            num_clients=3,
            reach=reach,
            **changes,
        )
        for kind, reach in (("fed_avg", 0.8), ("qfedfisher", 0.9))
        for alpha in (0.1, 1.0)
        for seed in (0, 1, 2)
    ]


def test_panels_and_lines_are_those_of_the_keys_and_settings_differ_over_seeds(
    make_run: MakeRun,
) -> None:
    records = [read_run(run) for run in grid(make_run)]
    settings = group_runs(records, by=["strategy.kind"], panel=["partition.alpha"])
    assert [(s.panel, s.name, len(s.runs)) for s in settings] == [
        ("alpha 0.1", "fed_avg", 3),
        ("alpha 0.1", "qfedfisher", 3),
        ("alpha 1.0", "fed_avg", 3),
        ("alpha 1.0", "qfedfisher", 3),
    ]
    found = differences(settings, "test_accuracy")
    assert [d[:3] for d in found] == [
        (panel, "qfedfisher", "fed_avg") for panel in ("alpha 0.1", "alpha 1.0")
    ]
    gaps = np.subtract(*(list(s.finals("test_accuracy").values()) for s in settings[1::-1]))
    np.testing.assert_allclose(found[0].estimate.mean, gaps.mean())
    view = View(("strategy.kind",), ("partition.alpha",))
    page = comparison_page(records, view)
    assert "Test accuracy by key spent: alpha 1.0" in page
    assert "alpha 0.1: qfedfisher − fed_avg" in page
    assert "paired t-tests with 3 pairs each" in page
    table = comparison_table(records, view).splitlines()
    assert table[2] == r"\toprule"
    assert len([line for line in table if r"fed\_avg & 3 &" in line]) == 2


def test_without_keys_settings_have_as_few_as_tell_them_apart(make_run: MakeRun) -> None:
    records = [read_run(run) for run in grid(make_run)]
    names = [s.name for s in group_runs(records)]
    assert names[:2] == ["fed_avg, alpha 0.1", "fed_avg, alpha 1.0"]


def test_what_cannot_be_compared_is_one_clear_error(make_run: MakeRun) -> None:
    records = [read_run(run) for run in grid(make_run)]
    with pytest.raises(ConfigError, match=r"`partition\.alpha` too; add --by partition\.alpha"):
        group_runs(records, by=["strategy.kind"])
    with pytest.raises(ConfigError, match=r"`strategy\.king`; did you mean `strategy\.kind`"):
        group_runs(records, by=["strategy.king"])
    with pytest.raises(ConfigError, match="no run has a metric `f1`"):
        comparison_page(records, View(metric="f1"))
    with pytest.raises(ConfigError, match="name several"):
        write_report([make_run("one", rounds=1)], view=View(metric="ece"))


def test_a_sweep_is_compared_by_its_grid(make_run: MakeRun, tmp_path: Path) -> None:
    runs = [{"directory": run.name} for run in grid(make_run, quality=True)]
    keys = {"strategy.kind": ["fed_avg", "qfedfisher"], "partition.alpha": [0.1, 1.0]}
    waiting = [{"directory": "not-begun"}]
    (tmp_path / "sweep.json").write_text(json.dumps({"grid": keys, "runs": runs + waiting}))
    path = write_report([tmp_path], view=View(metric="macro_f1"), latex=tmp_path / "t.tex")
    assert path == tmp_path / "report.html"
    assert "Macro F1 by round: alpha 0.1" in path.read_text()
    assert "Macro F1" in (tmp_path / "t.tex").read_text()
    (tmp_path / "sweep.json").write_text('{"grid": 3}')
    with pytest.raises(CheckpointError, match=r"sweep\.json` is damaged"):
        write_report([tmp_path])


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
