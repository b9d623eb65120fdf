"""`fedket reproduce` and `fedket results`: a paper's table again.

Exit codes of `reproduce` beside the usual ones: 1 some rows did not run (the table says why).
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedket.cli.options import DryRunOption, JobsOption, JsonOption
from fedket.cli.tables import print_pairs, print_table
from fedket.errors import ConfigError

if TYPE_CHECKING:
    from fedket.reproduce.check import Again
    from fedket.reproduce.page import Reproduction
    from fedket.reproduce.rows import Profile, Row
    from fedket.reproduce.runs import Planned, SeedRun


def reproduce(
    paper: Annotated[
        str, typer.Argument(help="A shipped paper (`fedket list`), or a folder of experiments.")
    ],
    rows: Annotated[
        list[str] | None, typer.Argument(help="Rows of its table; default: all.")
    ] = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="Take the rows' fast profiles: minutes, not the result.")
    ] = False,
    rounds: Annotated[
        int, typer.Option(min=0, help="Stop after n rounds, as a profile of its own; 0: all.")
    ] = 0,
    seeds: Annotated[
        str, typer.Option(metavar="N,N,…", help="Seeds of every row; default: each row's own.")
    ] = "",
    jobs: JobsOption = 0,
    budget: Annotated[
        str,
        typer.Option(
            metavar="TIME", help="Run what fits into `8h` or `45min`, the shortest first."
        ),
    ] = "",
    output: Annotated[Path, typer.Option(help="Folder of runs and tables.")] = Path(
        "runs/reproduce"
    ),
    store: Annotated[
        Path | None,
        typer.Option(help="Also store the rows in this folder, and generate its README."),
    ] = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run a paper's experiments for several seeds; print our numbers beside the paper's.

    Finished runs are kept and interrupted ones resumed: after Ctrl-C, run it again.

    Example: fedket reproduce qfedfisher --fast
    """
    from fedket.reproduce.rows import Profile, find_rows
    from fedket.reproduce.runs import plan_rows

    if fast and rounds:
        raise ConfigError("--fast and --rounds exclude each other; the fast profile has its own")
    profile, numbers = Profile(fast, rounds), _seeds(seeds)
    wanted = find_rows(paper, rows or [])
    planned = plan_rows(wanted, profile, numbers, output)
    if dry_run:
        _show(planned, jobs, as_json)
        return
    later = ""
    if budget:
        planned, later = _within(planned, _seconds(budget), jobs)
    runs = _run_all(planned, as_json, jobs)
    if later and not as_json:
        typer.echo(later)
    _conclude(wanted, profile, runs, output, store, as_json)


def results(
    directory: Annotated[Path, typer.Argument(help="Folder of stored results.")] = Path("results"),
    check: Annotated[
        int, typer.Option(min=0, help="Instead run n stored runs again; compare them bit for bit.")
    ] = 0,
    draw: Annotated[int, typer.Option(min=0, help="Which are drawn: another number, others.")] = 0,
) -> None:
    """Generate the README of stored results from the files beside it, or check some of them.

    Example: fedket results --check 3 --draw 7
    """
    from fedket.reproduce.store import read_all, write_readme

    if not check:
        typer.echo(str(write_readme(directory)))
        return
    from tempfile import TemporaryDirectory

    from fedket.cli.many import leave
    from fedket.reproduce.check import choose, run_again

    with TemporaryDirectory() as parent:
        same = [
            _told(again)
            for again in run_again(choose(read_all(directory), check, draw), Path(parent))
        ]
    if not all(same):
        typer.echo("bits depend on the kind of processor, on JAX and on the compiled kernels, too")
    leave(interrupted=False, failed=not all(same))


def _told(again: "Again") -> bool:
    """Say what came of a run that was made once more; whether it is the same."""
    seed = again.seed
    words = "the same bits" if again.same else again.problem or "other bits"
    numbers = (
        f" ({again.drawn.seed.final} stored, {seed.final} now)" if seed and not again.same else ""
    )
    typer.echo(f"{again.drawn.label}: {words}{numbers}")
    return again.same


UNITS = {"s": 1, "min": 60, "h": 3600}


def _seconds(text: str) -> float:
    number = text.rstrip("hmins")
    unit = text.removeprefix(number)
    if unit not in UNITS or not number.replace(".", "", 1).isdecimal():
        raise ConfigError(f"--budget takes a time such as 8h, 45min or 90s, got `{text}`")
    return float(number) * UNITS[unit]


def _within(planned: "list[Planned]", seconds: float, jobs: int) -> "tuple[list[Planned], str]":
    """The runs that fit into a time, and in words what is left."""
    from fedket.process import prepare
    from fedket.report.wording import duration, plural
    from fedket.reproduce.runs import within
    from fedket.sweeps.estimate import estimate
    from fedket.sweeps.pool import Task, default_jobs

    able = [run for run in planned if run.config is not None]
    prepare()
    found = estimate([Task(run.config, run.directory) for run in able if run.config], jobs)
    cores = jobs or default_jobs()
    chosen = within(able, found.each, seconds * cores)
    if not chosen.later:
        return planned, ""
    time = duration(chosen.seconds_later / cores)
    words = f"left for another time: {plural(len(chosen.later), 'run')}, about {time}"
    return [run for run in planned if run not in chosen.later], words


def _seeds(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")] if text else []
    if not all(part.isdecimal() and int(part) < 2**31 for part in parts):
        raise ConfigError(f"--seeds takes whole numbers such as 0,1,2 below 2^31, got `{text}`")
    return list(dict.fromkeys(map(int, parts)))


def _show(planned: "list[Planned]", jobs: int, as_json: bool) -> None:
    """What would be run."""
    from fedket.cli.many import print_estimate
    from fedket.process import prepare
    from fedket.sweeps.estimate import estimate
    from fedket.sweeps.pool import Task

    tasks = [Task(run.config, run.directory) for run in planned if run.config is not None]
    prepare()
    found = estimate(tasks, jobs)
    if as_json:
        listed = [{"row": r.row.name, "seed": r.seed, "problem": r.problem} for r in planned]
        typer.echo(json.dumps({"runs": listed, **found._asdict()}))
        return
    rows = [[run.row.name, str(run.seed), run.problem or str(run.directory)] for run in planned]
    print_table(rows, ["row", "seed", "directory"])
    print_estimate(tasks, found)


def _run_all(planned: "list[Planned]", quiet: bool, jobs: int) -> "list[SeedRun]":
    """Run everything, say how each run ended, and return them in the order of the rows."""
    from fedket.cli.many import watch
    from fedket.reproduce.runs import run_rows
    from fedket.sweeps.complete import Ended

    rounds = {run.label: run.config.federation.rounds if run.config else 0 for run in planned}
    runs = []
    with watch(rounds, quiet=quiet) as (on_round, on_end):
        for run in run_rows(planned, jobs, lambda run, record: on_round(run.label, record)):
            runs.append(run)
            on_end(run.label, Ended(run.status, run.problem))
    places = [run.label for run in planned]
    return sorted(runs, key=lambda run: places.index(run.label))


def _conclude(
    rows: "list[Row]",
    profile: "Profile",
    runs: "list[SeedRun]",
    output: Path,
    store: Path | None,
    as_json: bool,
) -> None:
    """Write and print the table; leave with the exit code that fits."""
    from fedket.cli.many import leave
    from fedket.reproduce.page import write_reproduction
    from fedket.reproduce.store import store as store_rows

    made = write_reproduction(rows, profile, runs, output)
    stored: list[Path] = []
    if store is not None:
        begun = {run.row.name for run in runs if run.status == "interrupted"}
        stored = store_rows([r for r in made.results if r.row not in begun], store)
    _print(made, stored, as_json)
    statuses = {run.status for run in runs}
    leave(interrupted="interrupted" in statuses, failed="failed" in statuses)


def _print(made: "Reproduction", stored: list[Path], as_json: bool) -> None:
    if as_json:
        values: dict[str, Any] = {"rows": [r.model_dump(mode="json") for r in made.results]}
        values |= {"table": str(made.table), "report": str(made.page)}
        typer.echo(json.dumps(values | {"stored": [str(path) for path in stored]}))
        return
    typer.echo(f"\n{made.table.read_text(encoding='utf-8')}")
    places = [("table", made.table), ("report", made.page), *(("stored", path) for path in stored)]
    print_pairs((name, str(path)) for name, path in places)
