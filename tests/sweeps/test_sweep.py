"""A sweep: ordinary runs, a tidy table, and nothing done twice."""

import csv
import json

import numpy as np
import pytest
from scipy.stats import ttest_rel

from fedket.errors import CheckpointError, ConfigError
from fedket.experiment.run import start_run
from fedket.experiment.run_directory import read_config
from fedket.record_files import read_rounds
from fedket.sweeps.run import read_experiment, sweep
from fedket.sweeps.summary import by_setting
from fedket.sweeps.table import SweepTable, write_tables
from tests.experiment.tiny import contents, rounds_of
from tests.sweeps.grids import GRID


def test_every_run_is_the_single_run_bit_for_bit(swept, tmp_path):
    table, _ = swept
    for place, row in enumerate(table.rows[::3]):
        directory = table.directory / row["run"]
        alone = start_run(read_config(directory), output=tmp_path / str(place)).directory
        model = "model.safetensors"
        assert (alone / model).read_bytes() == (directory / model).read_bytes()
        assert rounds_of(alone) == rounds_of(directory)


def test_the_table_is_tidy_and_on_disk(swept):
    table, told = swept
    assert len(table.rows) == 8
    assert {(r["optimizer.learning_rate"], r["strategy.kind"], r["seed"]) for r in table.rows} == {
        (rate, kind, seed)
        for rate in GRID["optimizer.learning_rate"]
        for kind in GRID["strategy.kind"]
        for seed in (0, 3)
    }
    assert table.failures == {}
    assert not table.interrupted
    assert table.to_dict()["seed"] == [row["seed"] for row in table.rows]
    rounds = table.rounds()
    assert len(rounds) == 24
    for row in table.rows:
        last = list(read_rounds(table.directory / row["run"]))[-1]
        assert row["test_accuracy"] == last.test_accuracy
        assert [r["round"] for r in rounds if r["run"] == row["run"]] == [1, 2, 3]
    for name, rows in (("runs", table.rows), ("rounds", rounds)):
        with (table.directory / f"{name}.csv").open(newline="") as file:
            read = list(csv.DictReader(file))
        assert [list(row) for row in read] == [list(row) for row in rows]
        cells = [{k: "" if v is None else str(v) for k, v in row.items()} for row in rows]
        assert read == cells
    state = json.loads((table.directory / "sweep.json").read_text())
    assert {run["status"] for run in state["runs"]} == {"finished"}
    assert state["grid"] == {key: list(values) for key, values in GRID.items()}
    labels = {label for label, _ in told}
    assert all([what for who, what in told if who == label][-1] == "finished" for label in labels)
    assert len(told) == 8 * 4


def test_asking_for_more_runs_only_what_is_missing(swept, blobs, tiny, tmp_path, monkeypatch):
    """A run that is there is kept, and a process is started for none."""
    from fedket.sweeps import pool

    table, _ = swept
    monkeypatch.setattr(pool, "_start", lambda _: pytest.fail("nothing is missing"))
    before = contents(table.directory / table.rows[0]["run"])
    again = sweep(tiny(), GRID, (0, 3), output=table.directory)
    assert again.rows == table.rows
    assert contents(table.directory / table.rows[0]["run"]) == before


def test_a_run_is_no_place_for_a_sweep(swept, tiny):
    table, _ = swept
    run = table.directory / table.rows[0]["run"]
    before = contents(run)
    with pytest.raises(CheckpointError, match="is a single run"):
        sweep(tiny(), output=run)
    assert contents(run) == before


def test_parquet_is_asked_of_pyarrow(swept, tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ConfigError, match="pip install pyarrow"):
        sweep(tiny(), output=tmp_path / "none", parquet=True)
    assert not (tmp_path / "none").exists()


def test_parquet_holds_what_the_table_does(swept, tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    written = write_tables(tmp_path, {"runs": swept[0].rows, "none": ()}, parquet=True)
    assert len(written) == 4
    assert parquet.read_table(tmp_path / "runs.parquet").to_pylist() == list(swept[0].rows)


def test_means_of_settings_are_over_their_seeds(swept):
    """Against numpy and `scipy.stats.ttest_rel`; Holm's factor of the smallest p is their count."""
    table, _ = swept
    rows = [
        {**row, "test_loss": row["test_loss"] + 0.1 * place}
        for place, row in enumerate(table.rows)
        if row["optimizer.learning_rate"] == 0.1 or row["strategy.kind"] == "fed_avg"
    ]
    means = by_setting(SweepTable(table.directory, tuple(rows)), "test_loss")
    assert len(means) == 3
    values = np.array([row["test_loss"] for row in rows]).reshape(3, 2)
    assert [row["mean"] for row in means] == pytest.approx(values.mean(axis=1))
    assert [row["se"] for row in means] == pytest.approx(values.std(axis=1, ddof=1) / 2**0.5)
    assert [row["seeds"] for row in means] == [2, 2, 2]
    assert means[0]["difference"] is means[0]["p"] is None
    assert [row["difference"] for row in means[1:]] == pytest.approx(
        (values[1:] - values[0]).mean(axis=1)
    )
    alone = [float(ttest_rel(v, values[0]).pvalue) for v in values[1:]]
    assert min(row["p"] for row in means[1:]) == pytest.approx(min(1, 2 * min(alone)))
    one_seed = tuple(row for row in rows if row["seed"] == 0)
    assert {row["se"] for row in by_setting(SweepTable(table.directory, one_seed))} == {None}


def test_a_file_says_what_its_sweep_is(tiny, tmp_path):
    """Keys of `[sweep.grid]` may be nested or quoted; a run does not keep them."""
    from fedket.experiment.load import dump_config, load_config
    from fedket.sweeps.run import plan_sweep

    text = dump_config(tiny())
    text += "\n[sweep]\nseeds = [4, 6]\n[sweep.grid]\noptimizer.learning_rate = [0.1, 0.2]\n"
    path = tmp_path / "with.toml"
    path.write_text(text)
    config, folder = read_experiment(path)
    assert folder == tmp_path
    runs = plan_sweep(config, None, None, tmp_path / "s", folder)
    assert [(r.settings["optimizer.learning_rate"], r.seed) for r in runs] == [
        (0.1, 4),
        (0.1, 6),
        (0.2, 4),
        (0.2, 6),
    ]
    assert all(run.config.sweep is None for run in runs)
    path.write_text(text.replace("[0.1, 0.2]", "0.1"))
    with pytest.raises(ConfigError, match=r"`sweep.grid.optimizer.learning_rate` should be a list"):
        load_config(path)
