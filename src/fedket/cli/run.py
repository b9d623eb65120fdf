"""`fedket run`: an experiment from its file, or a run directory resumed."""

import json
from functools import partial
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedket.cli.failures import INCOMPLETE, INTERRUPTED, fail, one_line, stopping_early, tell
from fedket.cli.options import FastOption, JsonOption, OptionalFile, SetOption, load_experiment
from fedket.errors import ConfigError, FedketError
from fedket.experiment.launch import find_launch
from fedket.process import prepare

if TYPE_CHECKING:
    from fedket.experiment.run import RunOutcome


def run(
    file: OptionalFile = None,
    overrides: SetOption = None,
    resume: Annotated[
        Path | None, typer.Option(help="Resume this run directory from its checkpoint.")
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(min=1, help="Rounds in all: federation.rounds, also of a run that resumes."),
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Write the run here instead of runs/NAME-SEED-N.")
    ] = None,
    fast: FastOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run an experiment: rounds of local training, aggregation and evaluation, then a report.

    FILE is an experiment file (TOML), one of its rows (FILE.toml:ROW), or the
    name of a shipped experiment.
    All that a run writes is in one directory. Ctrl-C stops and saves;
    --resume with more --rounds goes on with a finished run.

    Example: fedket run quickstart --set federation.rounds=10
    """
    overrides = [*(overrides or []), *([f"federation.rounds={rounds}"] if rounds else [])]
    read = partial(_config_of, file, overrides, resume, output, fast)
    work = partial(_run, resume, output, as_json)
    launch = find_launch()
    if launch is None:
        config = read()
        config.engine.prepare()
        work(config, None)
        return
    from fedket.multiprocess.together import run_together

    raise typer.Exit(run_together(launch, read, work, tell))


def _run(
    resume: Path | None, output: Path | None, as_json: bool, config: Any, lead: Any | None
) -> None:
    """Run an experiment where it belongs; `lead` tells the other processes, if there are any."""
    from fedket.cli.progress import silent, watch
    from fedket.experiment.run import resume_run, start_run

    prepare()
    watcher = silent() if as_json else watch(config)
    with stopping_early(), watcher as (on_start, on_round):
        if resume is None:
            outcome = start_run(config, on_round, on_start=on_start, output=output, lead=lead)
        else:
            outcome = resume_run(resume, on_round, on_start=on_start, config=config, lead=lead)
    _conclude(outcome, as_json)


def _config_of(
    file: Path | None,
    overrides: list[str],
    resume: Path | None,
    output: Path | None,
    fast: bool,
) -> Any:
    """The configuration that the arguments of `run` ask for."""
    from fedket.experiment.run_directory import read_config

    if resume is not None and output is not None:
        raise ConfigError("--output and --resume exclude each other; a run stays where it is")
    if file is not None:
        return load_experiment(file, overrides, fast)
    if fast and resume is not None:
        raise ConfigError("--fast is for new runs; a resumed run keeps its own values")
    if resume is None:
        raise ConfigError(
            "name an experiment, for example `fedket run quickstart` (`fedket list` shows all), "
            "or --resume a run directory"
        )
    return read_config(resume, overrides)


def _conclude(outcome: "RunOutcome", as_json: bool) -> None:
    """Say how a run ended and write its report."""
    from fedket.cli.progress import print_summary
    from fedket.report import write_report

    directory, summary, new_rounds = outcome
    resume = f"fedket run --resume {quote(str(directory))}"
    interrupted = summary.status == "interrupted"
    if interrupted:
        fail(f"interrupted after round {summary.rounds}; continue with: {resume}")
    elif not new_rounds and not as_json:
        more = f"{resume} --rounds {2 * summary.rounds}"
        typer.echo(f"all {summary.rounds} rounds were there already; for more: {more}")
    try:
        report = write_report([directory])
    except (FedketError, OSError) as error:
        raise typer.Exit(_without_report(error, directory, summary.status)) from None
    if as_json:
        place = {"directory": str(directory), "report": str(report)}
        typer.echo(json.dumps({**summary.model_dump(), **place}))
    else:
        print_summary(summary, directory, report)
    if interrupted:
        raise typer.Exit(INTERRUPTED)


def _without_report(error: Exception, directory: Path, status: str) -> int:
    return fail(
        f"the run is {status} and saved in {directory}, its report is not written: "
        f"{one_line(error)}; then: fedket report {quote(str(directory))}",
        INCOMPLETE,
    )
