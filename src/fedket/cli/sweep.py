"""`fedket sweep`: many runs of one experiment.

Exit codes beside the usual ones: 1 some runs failed (they are listed).
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedket.cli.options import (
    DryRunOption,
    ExperimentFile,
    FastOption,
    JobsOption,
    JsonOption,
    SetOption,
    load_experiment,
)
from fedket.cli.tables import print_pairs, print_table
from fedket.errors import ConfigError

if TYPE_CHECKING:
    from fedket.sweeps.plan import SweepRun
    from fedket.sweeps.table import Row, SweepTable


def sweep(
    file: ExperimentFile,
    grid: Annotated[
        list[str] | None,
        typer.Option(
            "--grid",
            metavar="TABLE.KEY=V,V,…",
            help="Values of one key; repeat for more: every combination is run.",
        ),
    ] = None,
    seeds: Annotated[
        str, typer.Option(metavar="N", help="How many seeds for each, or which: 0,7,9.")
    ] = "",
    jobs: JobsOption = 0,
    overrides: SetOption = None,
    fast: FastOption = False,
    output: Annotated[
        Path | None, typer.Option(help="Directory of the sweep instead of runs/NAME-sweep.")
    ] = None,
    parquet: Annotated[
        bool, typer.Option("--parquet", help="Write the tables as Parquet files, too.")
    ] = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run an experiment for every combination of some settings, each for several seeds.

    Grid and seeds may stand in the file as well: [sweep] and [sweep.grid].
    Finished runs are kept and interrupted ones resumed: after Ctrl-C, run it
    again. Ask for more settings or seeds later, and only those are run.

    Example: fedket sweep quickstart --grid partition.alpha=0.1,1 --seeds 5
    """
    from fedket.experiment.grid import parse_grid
    from fedket.experiment.rows import split_row
    from fedket.experiment.shipped import find_experiment
    from fedket.sweeps.run import directory_of, plan_sweep

    config = load_experiment(file, overrides, fast)
    own = dict(config.sweep.grid) if config.sweep else {}
    wanted, numbers = {**own, **parse_grid(grid or [])}, _seeds(seeds)
    place = output or directory_of(config)
    folder = split_row(find_experiment(file))[0].parent
    runs = plan_sweep(config, wanted, numbers, place, folder)
    if dry_run:
        _show(runs, jobs, as_json)
        return
    from fedket.cli.many import watch
    from fedket.sweeps.run import run_sweep
    from fedket.sweeps.table import check_parquet

    if parquet:
        check_parquet()
    rounds = {run.label: run.config.federation.rounds for run in runs}
    with watch(rounds, quiet=as_json) as (on_round, on_end):
        table = run_sweep(
            config,
            runs,
            place,
            jobs,
            lambda run, record: on_round(run.label, record),
            lambda run, ended: on_end(run.label, ended),
            parquet=parquet,
        )
    _conclude(table, as_json)


def _seeds(text: str) -> int | list[int] | None:
    parts = [part.strip() for part in text.split(",")] if text else []
    if not all(part.isdecimal() for part in parts):
        raise ConfigError(f"--seeds takes how many, or which, such as 0,1,2; got `{text[:80]}`")
    numbers = [int(part) for part in parts]
    return None if not numbers else numbers[0] if len(numbers) == 1 else numbers


def _show(runs: "list[SweepRun]", jobs: int, as_json: bool) -> None:
    """What would be run."""
    from fedket.cli.many import print_estimate
    from fedket.process import prepare
    from fedket.sweeps.estimate import estimate
    from fedket.sweeps.pool import Task

    tasks = [Task(run.config, run.directory) for run in runs]
    prepare()
    found = estimate(tasks, jobs)
    if as_json:
        listed = [
            {"directory": str(r.directory), "settings": dict(r.settings), "seed": r.seed}
            for r in runs
        ]
        typer.echo(json.dumps({"runs": listed, **found._asdict()}))
        return
    keys = list(runs[0].settings)
    print_table(
        [
            [*(str(run.settings[key]) for key in keys), str(run.seed), str(run.directory)]
            for run in runs
        ],
        [*keys, "seed", "directory"],
    )
    for said in dict.fromkeys(said for run in runs for said in run.left_out):
        typer.echo(f"left out: {said}")
    print_estimate(tasks, found)


def _conclude(table: "SweepTable", as_json: bool) -> None:
    """Say what came, list what failed, and leave with the exit code that fits."""
    from fedket.cli.many import leave
    from fedket.report import write_report

    means = table.means()
    places = {name: table.directory / f"{name}.csv" for name in ("settings", "runs", "rounds")}
    if means:
        places["report"] = write_report([table.directory])
    if as_json:
        values: dict[str, Any] = {"rows": table.rows, "settings": means}
        values |= {"directory": str(table.directory)}
        files = {f"{name}_file": str(path) for name, path in places.items()}
        typer.echo(json.dumps(values | files))
    else:
        _print_means(means)
        typer.echo()
        print_pairs((name, str(path)) for name, path in places.items())
    for run, problem in table.failures.items():
        typer.echo(f"fedket: failed: {run}: {problem}", err=True)
    leave(interrupted=table.interrupted, failed=bool(table.failures))


def _print_means(means: "tuple[Row, ...]") -> None:
    """Mean ± standard error of each setting, and how it differs from the first."""
    from fedket.sweeps.summary import OF_A_SETTING

    if not means:
        return
    metric = means[0]["metric"]
    scale, unit = (100, " %") if metric == "test_accuracy" else (1, "")

    def shown(number: float | None, error: float | None, sign: str = "") -> str:
        if number is None:
            return ""
        spread = "" if error is None else f" ± {scale * error:.2f}"
        return f"{scale * number:{sign}.2f}{spread}{unit}"

    keys = [key for key in means[0] if key not in OF_A_SETTING]
    rows = [
        [
            *(str(row[key]) for key in keys),
            str(row["seeds"]),
            shown(row["mean"], row["se"]),
            shown(row["difference"], row["difference_se"], "+"),
            "" if row["p"] is None else f"{row['p']:.2g}",
        ]
        for row in means
    ]
    headings = [*keys, "seeds", metric.replace("_", " "), "against the first", "p"]
    typer.echo()
    print_table(rows, headings, range(len(keys), len(headings)))
