"""The command line. Heavy imports happen inside commands, so that help is instant.

Exit codes: 0 done, 2 bad input (one line on standard error), 130 interrupted with the run saved.
"""

import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from io import TextIOWrapper
from itertools import groupby
from pathlib import Path
from shlex import quote
from typing import Annotated, Any, cast

import typer
from typer.core import TyperGroup

from fedket._version import __version__
from fedket.allocator import keep_freed_memory
from fedket.deploy_cli import deploy_app
from fedket.errors import ConfigError, FedketError
from fedket.etsi_cli import add_etsi_commands
from fedket.experiment.interrupts import handled_interrupts
from fedket.experiment.launch import find_launch
from fedket.export_cli import add_export_command
from fedket.keys_cli import app as keys_app
from fedket.kme_cli import kme_app
from fedket.qkd_cli import app as qkd_app
from fedket.reproduce_cli import add_reproduce_commands

BAD_INPUT, INTERRUPTED = 2, 130
"""Exit codes beside 0."""

UsageError = cast(type[typer.BadParameter], typer.BadParameter.__bases__[0])
"""What Typer raises for a command line it cannot read: Click's class, or since 0.26 its own."""


class HelpfulGroup(TyperGroup):
    """Commands that show their help when none of them is named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Ask for help where nothing was asked."""
        return super().parse_args(ctx, args or ["--help"])


app = typer.Typer(
    cls=HelpfulGroup,
    help="Train quantum and hybrid models across many sites without moving their data.\n\n"
    "Start with `fedket list`, then `fedket run quickstart`.",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(keys_app, name="keys")
add_etsi_commands(keys_app)
add_export_command(app)
app.add_typer(deploy_app, name="deploy")
app.add_typer(kme_app, name="kme")
app.add_typer(qkd_app, name="qkd")
add_reproduce_commands(app)

FILE_HELP = "Experiment file (TOML), or the name of a shipped experiment."
FileArgument = Annotated[Path, typer.Argument(help=FILE_HELP)]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="TABLE.KEY=VALUE", help="Change one value; repeat for more."),
]
FastOption = Annotated[
    bool, typer.Option("--fast", help="Take the fast profile of the file: minutes, not the result.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def _version(wanted: bool) -> bool:
    if wanted:
        typer.echo(f"fedket {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def _root(
    _wanted: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options of `fedket` itself; its help is the app's."""


@app.command()
def run(
    file: Annotated[Path | None, typer.Argument(help=FILE_HELP)] = None,
    overrides: SetOption = None,
    resume: Annotated[
        Path | None, typer.Option(help="Continue this run directory from its checkpoint.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option(help="Write the run here instead of runs/NAME-SEED-N.")
    ] = None,
    fast: FastOption = False,
    as_json: JsonOption = False,
) -> None:
    """Run an experiment: rounds of local training, aggregation and evaluation, then a report.

    FILE is an experiment file (TOML) or the name of a shipped experiment.
    All that a run writes is in one directory. Ctrl-C stops and saves.

    Example: fedket run quickstart --set federation.rounds=10
    """
    read = partial(_config_of, file, overrides or [], resume, output, fast)
    work = partial(_run, resume, output, as_json)
    launch = find_launch()
    if launch is None:
        config = read()
        _split(config)
        work(config, None)
        return
    from fedket.multiprocess.together import run_together

    raise typer.Exit(run_together(launch, read, work, _tell))


def _split(config: Any) -> None:
    """Make devices of the CPU's cores if the experiment's engine deals clients to devices."""
    if config.engine.kind == "sharded":
        from fedket.federated import split_cpu

        split_cpu(config.engine.devices)


def _run(
    resume: Path | None, output: Path | None, as_json: bool, config: Any, lead: Any | None
) -> None:
    """Run an experiment where it belongs; `lead` tells the other processes, if there are any."""
    from fedket.experiment import resume_run, start_run
    from fedket.progress import silent, watch

    keep_freed_memory()
    watcher = silent() if as_json else watch(config)
    with _stopping_early(), watcher as (on_start, on_round):
        if resume is None:
            outcome = start_run(config, on_round, on_start=on_start, output=output, lead=lead)
        else:
            outcome = resume_run(resume, on_round, on_start=on_start, config=config, lead=lead)
    _conclude(outcome.directory, outcome.summary, as_json)


def _config_of(
    file: Path | None,
    overrides: list[str],
    resume: Path | None,
    output: Path | None,
    fast: bool,
) -> Any:
    """The configuration that the arguments of `run` ask for."""
    from fedket.experiment import read_config

    if resume is not None and output is not None:
        raise ConfigError("--output and --resume exclude each other; a run stays where it is")
    if file is not None:
        return _load(file, overrides, fast)
    if fast and resume is not None:
        raise ConfigError("--fast is for new runs; a run to be resumed keeps its own values")
    if resume is None:
        raise ConfigError(
            "name an experiment, for example `fedket run quickstart` (`fedket list` shows all), "
            "or --resume a run directory"
        )
    return read_config(resume, overrides)


def _conclude(directory: Path, summary: dict[str, Any], as_json: bool) -> None:
    """Say how a run ended and write its report."""
    from fedket.progress import print_summary
    from fedket.report import write_report

    interrupted = summary["status"] == "interrupted"
    if interrupted:
        sys.stderr.write(
            f"fedket: interrupted after round {summary['rounds']}; "
            f"continue with: fedket run --resume {quote(str(directory))}\n"
        )
    report = write_report([directory])
    if as_json:
        place = {"directory": str(directory), "report": str(report)}
        typer.echo(json.dumps({**summary, **place}))
    else:
        print_summary(summary, directory, report)
    if interrupted:
        raise typer.Exit(INTERRUPTED)


@app.command("list")
def list_experiments(as_json: JsonOption = False) -> None:
    """List the shipped experiments, one line each, by paper."""
    from fedket.experiment import shipped_experiments

    shipped = shipped_experiments()
    if as_json:
        typer.echo(json.dumps([{**s._asdict(), "path": str(s.path)} for s in shipped]))
        return
    width = max((len(s.name) for s in shipped), default=0)
    for paper, group in groupby(shipped, key=lambda s: s.paper):
        if paper:
            typer.echo(f"\n{paper}: all of it with `fedket reproduce {paper}`")
        for s in group:
            typer.echo(f"{s.name:<{width}}  {s.description}".rstrip())


@app.command()
def show(
    file: FileArgument,
    overrides: SetOption = None,
    fast: FastOption = False,
    as_json: JsonOption = False,
) -> None:
    """Show what an experiment is and costs per round, before running it.

    FILE is an experiment file (TOML) or the name of a shipped experiment.
    """
    config = _load(file, overrides or [], fast)
    from fedket.experiment import build_experiment, count_facts, drawing, dump_config, facts_dict
    from fedket.progress import print_facts

    with _stopping_early(), handled_interrupts() as interrupts:
        experiment = interrupts.run(partial(build_experiment, config))
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
    """Write a self-contained HTML report of one run, or of several side by side.

    DIRECTORIES are what `fedket run` wrote. The report of one run goes into
    its directory, a comparison to comparison.html.
    """
    from fedket.report import write_report

    path = write_report(directories, output)
    typer.echo(json.dumps({"report": str(path)}) if as_json else str(path))


def _load(file: Path, overrides: list[str], fast: bool) -> Any:
    from fedket.experiment import find_experiment, load_config

    return load_config(find_experiment(file), overrides, fast=fast)


@contextmanager
def _stopping_early() -> Iterator[None]:
    """Say that an interrupt came before there was anything to save (Typer would leave silently)."""
    try:
        yield
    except KeyboardInterrupt:
        code = _fail("interrupted before anything was written", INTERRUPTED)
        raise typer.Exit(code) from None


def main() -> None:
    """Entry point: run the command line and leave."""
    code = execute()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    sys.stdout.flush()
    if code == INTERRUPTED or _has_others():
        os._exit(code)  # a round that was given up may still be computing, or wait for others
    sys.exit(code)


def _has_others() -> bool:
    """Whether this process has not taken leave of the others of a run."""
    jax = sys.modules.get("jax")
    return jax is not None and bool(jax.distributed.is_initialized())


def execute() -> int:
    """Run the app; turn errors of the input into one line and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # not every terminal or pipe can spell `⟨Z⟩`
            stream.reconfigure(errors="replace")
    try:
        with handled_interrupts():
            code = int(app(standalone_mode=False) or 0)
            sys.stdout.flush()
    except BrokenPipeError:  # the reader, such as `head`, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (FedketError, UsageError, OSError, MemoryError) as error:
        return _tell(error)
    except RuntimeError as error:  # JAX's own kind of MemoryError
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return _fail(f"error: out of memory: {_one_line(error)}", BAD_INPUT)
    return code


def _tell(error: Exception, who: str = "") -> int:
    """Say in one line what was wrong with the input."""
    return _fail(f"{who}error: {_one_line(error)}", BAD_INPUT)


def _one_line(error: Exception) -> str:
    message = str(error)
    if isinstance(error, UsageError):
        # Click and Typer both append the nearest command.
        message = re.sub(r"( Did you mean [^?]*\?)\1+", r"\1", error.format_message())
    elif isinstance(error, OSError) and error.filename:
        message = f"{error.strerror or error}: {error.filename}"
    return " ".join(message.split()) or type(error).__name__


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"fedket: {message}\n")
    return code
