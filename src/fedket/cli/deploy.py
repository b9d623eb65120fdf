"""`fedket deploy`: the same experiment file on a real federation of sites."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedket.cli.deploy_consent import consent
from fedket.cli.deploy_identity import add_identity
from fedket.cli.deploy_units import add_services
from fedket.cli.deploy_watch import Folder, RoundPrinter, add_watching
from fedket.cli.failures import INTERRUPTED
from fedket.cli.options import (
    CommandGroup,
    ExperimentFile,
    JsonOption,
    SetOption,
    load_experiment,
)
from fedket.cli.statistics import PageOption, StandardiseOption, tell
from fedket.cli.tables import print_pairs
from fedket.errors import ConfigError, RunStoppedError
from fedket.experiment.interrupts import handled_interrupts

if TYPE_CHECKING:
    from fedket.deploy.project import Layout

EngineOption = Annotated[
    str, typer.Option(help="Engine that carries the messages: flare or flower.", metavar="KIND")
]

app = typer.Typer(cls=CommandGroup, help="Run an experiment on real sites.")

add_watching(app)
app.command()(consent)
add_services(app)
add_identity(app)


@app.callback()
def private(context: typer.Context) -> None:
    """Run an experiment on real sites."""
    from fedket.deploy.private import UMASK

    context.call_on_close(
        partial(os.umask, os.umask(UMASK))
    )  # `start` becomes the party, and stays


@app.command()
def init(
    experiment: ExperimentFile,
    sites: Annotated[str, typer.Option(help="Names of the sites: hospital-a,hospital-b,…")],
    host: Annotated[
        list[str],
        typer.Option(help="Name or address under which sites reach the server; several times."),
    ],
    output: Annotated[Path, typer.Option(help="Folder to write; new or empty.")],
    port: Annotated[int, typer.Option(min=1, max=65535, help="The server's port.")] = 8002,
    trial_kme: Annotated[
        bool, typer.Option("--trial-kme", help="Also write a key manager; its keys are simulated.")
    ] = False,
    kme_host: Annotated[
        str, typer.Option(help="Host name of that key manager; the server's by default.")
    ] = "",
    coordinator: Annotated[
        str, typer.Option(help="Who hands the run in, as name@example.org.")
    ] = "coordinator@fedket.example",
    observer: Annotated[
        list[str] | None, typer.Option(help="Who may only watch, as name@example.org.")
    ] = None,
    min_sites: Annotated[
        int | None,
        typer.Option(min=2, help="Fewest sites in a sum; 3, and ¾ of all in the first round."),
    ] = None,
    engine: EngineOption = "",
    start: Annotated[
        Path | None, typer.Option("--from", help="A run with whose weights this one begins.")
    ] = None,
    invite: Annotated[
        bool,
        typer.Option("--invite", help="Invite server and sites; each makes its own key and kit."),
    ] = False,
    changes: SetOption = None,
) -> None:
    """Write every party's startup kit and configuration, and what each operator has to do.

    Example: fedket deploy init quickstart --sites a,b,c --host fed.example.org --output heart
    """
    from fedket.deploy.choices import Choices
    from fedket.deploy.project import write_project
    from fedket.deploy.trial_keys import KME

    names = tuple(name.strip() for name in sites.split(",") if name.strip())
    kme = (kme_host or host[0]) if trial_kme or kme_host else ""
    people = coordinator, tuple(observer or ())
    choices = Choices(
        names,
        tuple(host),
        port,
        *people,
        trial_kme=kme,
        min_sites=min_sites,
        engine=engine,
        invite=invite,
        start=start,
    )
    layout = write_project(load_experiment(experiment, changes), output, choices)
    others = "" if invite else f"the server, {len(names)} sites, and "
    typer.echo(f"wrote the kit{'s' * bool(others)} of {others}the coordinator")
    if invite:
        typer.echo(f"invitations, to server and sites, are in {output / 'invitations'}")
    if kme:
        typer.echo("approved the experiment at every site: a trial, with simulated keys")
        typer.echo(f"keys are simulated, by: fedket kme serve {output / KME / 'kme.toml'}")
    typer.echo(f"next: {layout.directory / 'OPERATORS.md'} says what each operator has to do")


@app.command()
def local(
    experiment: ExperimentFile,
    sites: Annotated[int, typer.Option(min=2, max=64, help="Number of sites.")] = 4,
    output: Annotated[
        Path | None, typer.Option(help="A new folder, or that of a run to resume.")
    ] = None,
    engine: EngineOption = "",
    changes: SetOption = None,
) -> None:
    """Run a whole federation on this machine: every site a process with its own data and keys.

    Transport, certificates, pad stores and key delivery are real; the keys come from the bundled
    key manager and are simulated. The experiment's partition deals its samples to the sites.

    Example: fedket deploy local quickstart --sites 4
    """
    from fedket.deploy.local import prepare, running, was_stopped
    from fedket.deploy.project import read_layout

    directory = output or _new_folder(experiment)
    if (directory / "job").is_dir():
        layout = read_layout(directory)
        typer.echo(f"resuming {directory}")
    else:
        layout = prepare(load_experiment(experiment, changes), sites, directory, engine)
        typer.echo(f"wrote {directory}: {sites} sites, their samples, certificates, key manager")
        typer.echo("approved the experiment at every site, as one person is everybody here")
    with handled_interrupts() as interrupts, running(layout) as started:
        typer.echo(f"started {len(started)} processes; the keys are simulated; Ctrl-C stops")
        try:
            interrupts.run(lambda: _run(layout, stopped=lambda: was_stopped(layout)))
        except (KeyboardInterrupt, RunStoppedError):
            typer.echo(
                f"stopped; resume with: fedket deploy local {experiment} --output {directory}"
            )
            raise typer.Exit(INTERRUPTED) from None
    _tell_end(layout)


@app.command()
def start(
    kit: Annotated[Path, typer.Argument(help="This party's startup kit: server or site.")],
) -> None:
    """Check this party's files, then run its process until Ctrl-C.

    Example: fedket deploy start kits/hospital-a
    """
    from fedket.deploy.check import check_kit, check_private
    from fedket.deploy.engines.kind import deployment_of
    from fedket.deploy.files import kit_engine
    from fedket.deploy.opening import look_at

    engine = deployment_of(kit_engine(kit))
    command = engine.command(kit)
    check_kit(kit)
    engine.settle(kit)
    for news in check_private(kit):
        typer.echo(news)
    failed = []
    for check in look_at(kit, engine.server):
        typer.echo(f"{check.outcome:<4}  {check.name}: {check.found}")
        failed += [check.name] * (check.outcome == "fail")
    if failed:
        raise ConfigError(f"put {' and '.join(failed)} right, then start again")
    typer.echo("started; what goes wrong is said here, and kept in problem.txt until it is solved")
    os.environ.setdefault("MALLOC_ARENA_MAX", "2")
    os.chdir(kit)
    os.execv(command[0], command)  # noqa: S606 - our own interpreter and modules


@app.command()
def run(
    folder: Folder,
    join_s: Annotated[float, typer.Option(min=1, help="Seconds to wait for server and sites.")] = (
        600.0
    ),
) -> None:
    """Hand the run to the server, and again if the server loses it; it resumes where it was.

    Example: fedket deploy run heart
    """
    from fedket.deploy.project import read_layout

    layout = read_layout(folder)
    with handled_interrupts() as interrupts:
        try:
            interrupts.run(lambda: _run(layout, join_s))
        except KeyboardInterrupt:
            typer.echo("no longer watching; the job continues on the server")
            raise typer.Exit(INTERRUPTED) from None
        except RunStoppedError as error:
            typer.echo(f"{error}; go on with: fedket deploy run {folder}")
            raise typer.Exit(INTERRUPTED) from None
    typer.echo("the run is finished; its directory is on the server")


@app.command()
def statistics(
    folder: Folder,
    join_s: Annotated[float, typer.Option(min=1, help="Seconds to wait for server and sites.")] = (
        600.0
    ),
    page: PageOption = None,
    standardise: StandardiseOption = False,
    as_json: JsonOption = False,
) -> None:
    """Ask the sites what they have together, before training: counts, classes, means, quantiles.

    Masked sums, over sites whose operators say `statistics = true` in site.toml. The server keeps
    the result beside its federation.toml, as statistics.json.

    Example: fedket deploy statistics heart --page heart.html
    """
    from tempfile import TemporaryDirectory

    from fedket.deploy.engines import Provisioning
    from fedket.deploy.project import read_layout
    from fedket.deploy.statistics import STATISTICS, read_statistics

    layout = read_layout(folder)
    files = layout.files("server")
    (files / STATISTICS).unlink(missing_ok=True)
    wanted = Provisioning(layout.job.name, (), 0, "statistics")
    with TemporaryDirectory() as place, handled_interrupts() as interrupts:
        job = Path(place) / layout.job.name
        layout.engine.write_job(wanted, job)
        say = partial(typer.echo, err=True)
        interrupts.run(lambda: _hand_in(layout, job, say, join_s, restarts=0))
    found = read_statistics(files)
    if found is None:
        typer.echo(
            f"they are at the server, in {STATISTICS} beside its federation.toml; if a run was "
            "under way, it was followed to its end: ask again"
        )
        return
    tell(found, page, as_json, standardise)


def _hand_in(
    layout: "Layout", job: Path, say: Callable[[str], None], join_s: float, **options: Any
) -> None:
    """Hand a job in and see it through."""
    from fedket.deploy.files import PROBLEM
    from fedket.deploy.identity.coordinator import present_sites

    files, sites = layout.files("server"), present_sites(layout.directory)
    options["present"] = partial(present_sites, layout.directory)
    problem = _problem(files / PROBLEM)
    admin = layout.kits["admin"]
    layout.engine.run(admin, job, sites, say, join_s=join_s, problem=problem, **options)


def _run(
    layout: "Layout", join_s: float = 120.0, stopped: Callable[[], bool] = lambda: False
) -> None:
    """Hand the run in, and print its rounds."""
    told = RoundPrinter().told
    _hand_in(layout, layout.job, typer.echo, join_s, stopped=stopped, told=told)


def _problem(path: Path) -> Callable[[], str]:
    return lambda: path.read_text(encoding="utf-8").strip() if path.exists() else ""


def _tell_end(layout: "Layout") -> None:
    directory = layout.files("server") / "run"
    from fedket.report import write_report

    print_pairs([("run", str(directory)), ("report", str(write_report([directory])))])


def _new_folder(experiment: Path) -> Path:
    number = 1
    while (folder := Path("deployments") / f"{experiment.stem}-{number}").exists():
        number += 1
    return folder
