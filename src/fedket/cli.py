"""The command line. Heavy imports happen inside commands, so that help is instant.

Exit codes: 0 done, 2 bad input (one line on standard error), 130 interrupted with the run saved.
"""

import json
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from fedket._version import __version__
from fedket.errors import FedketError

if TYPE_CHECKING:
    from fedket.experiment import RunOutcome

app = typer.Typer(
    help="Train quantum and hybrid models across many sites without moving their data.\n\n"
    "Start with `fedket list`, then `fedket run quickstart`.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

FileArgument = Annotated[
    Path, typer.Argument(help="Experiment file (TOML), or the name of a shipped experiment.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="TABLE.KEY=VALUE", help="Change one value; repeat for more."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"fedket {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None: ...


@app.command()
def run(
    file: Annotated[
        Path | None,
        typer.Argument(help="Experiment file (TOML), or the name of a shipped experiment."),
    ] = None,
    overrides: SetOption = None,
    resume: Annotated[
        Path | None, typer.Option(help="Continue this run directory from its checkpoint.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Write the run here instead of runs/NAME-SEED-N.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Run an experiment: rounds of local training, aggregation and evaluation, then a report."""
    from fedket.experiment import read_config, resume_run, start_run
    from fedket.progress import silent, watch
    from fedket.report import write_report

    signal.signal(signal.SIGTERM, _interrupt)
    config = None if file is None else _load(file, overrides)
    if resume is None and config is None:
        raise typer.BadParameter("name an experiment file, or --resume a run directory")
    if resume is not None and config is None:
        if overrides:
            raise typer.BadParameter("--set needs the experiment file beside --resume")
        config = read_config(resume)
    if resume is not None and output is not None:
        raise typer.BadParameter("--output and --resume exclude each other")
    assert config is not None  # noqa: S101 - one of the two branches above has set it
    with silent() if as_json else watch(config) as on_round:
        if resume is None:
            outcome = start_run(config, on_round, output=output)
        else:
            outcome = resume_run(resume, on_round, config=config)
    report = write_report([outcome.directory])
    _conclude(outcome, report, as_json)


def _conclude(outcome: "RunOutcome", report: Path, as_json: bool) -> None:
    from fedket.progress import print_summary

    directory, summary = outcome
    if as_json:
        place = {"directory": str(directory), "report": str(report)}
        typer.echo(json.dumps({**summary, **place}))
    else:
        print_summary(summary, directory, report)
    if summary["status"] == "interrupted":
        typer.echo(
            f"interrupted after round {summary['rounds']}; "
            f"continue with: fedket run --resume {directory}",
            err=True,
        )
        raise typer.Exit(130)


@app.command("list")
def list_experiments(as_json: JsonOption = False) -> None:
    """List the shipped experiments, one line each."""
    from fedket.experiment import shipped_experiments

    shipped = shipped_experiments()
    if as_json:
        rows = [
            {**s._asdict(), "path": str(s.path)} for s in shipped
        ]
        typer.echo(json.dumps(rows))
        return
    width = max((len(s.path.stem) for s in shipped), default=0)
    for s in shipped:
        typer.echo(f"{s.path.stem:<{width}}  {s.description}")


@app.command()
def show(file: FileArgument, overrides: SetOption = None, as_json: JsonOption = False) -> None:
    """Show what an experiment is and costs per round, before running it."""
    from fedket.experiment import build_experiment, count_facts, drawing, dump_config, facts_dict
    from fedket.progress import print_facts

    config = _load(file, overrides)
    experiment = build_experiment(config)
    facts = facts_dict(count_facts(experiment))
    if as_json:
        values: dict[str, Any] = {"name": config.name, **facts}
        values |= {"circuit": drawing(experiment), "config": config.model_dump(mode="json")}
        typer.echo(json.dumps(values))
        return
    typer.echo(dump_config(config))
    print_facts(facts)
    if experiment.circuit:
        typer.echo(f"\n{drawing(experiment)}")


@app.command()
def report(
    directories: Annotated[list[Path], typer.Argument(help="One run, or several to compare.")],
    output: Annotated[Path | None, typer.Option(help="HTML file to write.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a self-contained HTML report of one run, or of several side by side."""
    from fedket.report import write_report

    path = write_report(directories, output)
    typer.echo(json.dumps({"report": str(path)}) if as_json else str(path))


def _load(file: Path, overrides: list[str] | None) -> Any:
    """Load a file, or the shipped experiment of that name."""
    from fedket.experiment import load_config, shipped_experiments

    if not file.exists() and file.suffix == "" and file.parent == Path():
        shipped = {s.path.stem: s.path for s in shipped_experiments()}
        file = shipped.get(file.name, file)
    return load_config(file, overrides or ())


def _interrupt(_signal: int, _frame: object) -> NoReturn:
    """Treat SIGTERM like Ctrl-C: save, then leave."""
    raise KeyboardInterrupt


def main() -> None:
    """Entry point: run the app, turn errors of the input into one line and exit code 2."""
    try:
        app()
    except FedketError as error:
        message = " ".join(str(error).split())
    except OSError as error:
        message = f"{error.strerror or error}: {error.filename}" if error.filename else str(error)
    else:
        return
    sys.stderr.write(f"fedket: error: {message}\n")
    sys.exit(2)
