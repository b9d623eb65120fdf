"""`fedket deploy`: how a federation is doing, and its end."""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedket.cli.failures import INTERRUPTED
from fedket.cli.options import JsonOption
from fedket.cli.tables import print_pairs, print_table
from fedket.errors import ProtocolError
from fedket.experiment.interrupts import handled_interrupts

if TYPE_CHECKING:
    from fedket.deploy.engines import DeploymentEngine
    from fedket.deploy.operating.state import FederationState, Look

Folder = Annotated[Path, typer.Argument(help="A federation's folder, from `init` or `local`.")]
Place = Annotated[
    Path, typer.Argument(help="A federation's folder, one's own kit, or that of a party run here.")
]
ASK_S = 20.0
"""Seconds to try to reach the server."""

STOP_S = 60.0
WATCH_S = 1.0
HEADINGS = ("site", "takes part", "since", "s per round", "key for rounds", "why not")


def add_watching(app: typer.Typer) -> None:
    """Add these commands to `fedket deploy`."""
    for command in (status, logs, watch, stop):
        app.command()(command)


def status(
    place: Place,
    live: Annotated[
        bool, typer.Option("--watch", "-w", help="Go on showing it until Ctrl-C.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show how a federation is doing, as its server says, wherever that runs.

    Rounds, sites in and out with the reasons, who is slow, what is waited for, key left, and
    certificates that end soon. In the folder of `init` it asks the server as its administrator; in
    the server's own kit it reads what the server wrote.

    Example: fedket deploy status deployments/quickstart-1 --watch
    """
    with looking(place) as look:
        if as_json:
            typer.echo(json.dumps(look().model_dump(mode="json") | {"processes": _parties(place)}))
        elif live:
            _watch(look)
        else:
            if parties := _parties(place):
                print_pairs(parties.items())
            _print(look())


def logs(
    place: Place,
    lines: Annotated[int, typer.Option(min=1, max=200, help="How many.")] = 50,
) -> None:
    """Show what the server said of its run; in the kit of a site, what that site said itself.

    Example: fedket deploy logs heart --lines 20
    """
    with looking(place) as look:
        seen = look()
    for line in seen.news[-lines:]:
        typer.echo(line)
    for problem in seen.problem.splitlines():
        typer.echo(f"problem: {problem}")


def watch(
    place: Place,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8003,
    host: Annotated[
        str, typer.Option(help="Address to listen on; whoever reaches it may read the page.")
    ] = "127.0.0.1",
) -> None:
    """Serve a read-only page of the running federation, and metrics for Prometheus.

    `/` is the page, `/metrics` the metrics (extra `watch`), `/state.json` what both are made of. In
    a site's kit it shows what that site knows: problems, key left, certificates.

    Example: fedket deploy watch heart --port 8003
    """
    from threading import Event

    from fedket.cli.deploy_page import routes
    from fedket.deploy.operating.serving import serving

    with looking(place) as look, serving(routes(look), host, port) as url:
        typer.echo(f"watch {url} and {url}metrics; Ctrl-C ends")
        ended = Event()
        with handled_interrupts() as interrupts, suppress(KeyboardInterrupt):
            interrupts.run(ended.wait)
        ended.set()  # for the thread that still waits


def stop(place: Place) -> None:
    """End the run, wherever its server is; it can be resumed.

    All processes of a federation that `local` started here end with it. Elsewhere the parties go on
    waiting for a run: each operator ends their own with Ctrl-C.

    Example: fedket deploy stop deployments/quickstart-1
    """
    from fedket.deploy import local
    from fedket.deploy.project import read_layout

    if any(map(local.is_alive, local.processes(place))):
        local.mark_stopped(read_layout(place))
        typer.echo(f"stopped {', '.join(local.stop(place))}")
        return
    engine, kit = _asking(place)
    if engine.stop(kit, STOP_S):
        typer.echo("the run is stopped; go on with: fedket deploy run FOLDER")
    else:
        typer.echo("the server runs nothing")


@contextmanager
def looking(place: Path) -> "Iterator[Callable[[], Look]]":
    """Return how to look at a federation: through its server, or at the files of a kit here.

    Raises:
        FedketError: It is neither, or the server cannot be reached.
    """
    from fedket.deploy.kit import own_files
    from fedket.deploy.operating.state import STATE, read_look

    if _is_party(place):
        yield lambda: read_look(own_files(place))
        return
    from fedket.deploy import local

    here = own_files(place / "kits" / "server")
    if any(map(local.is_alive, local.processes(place))):
        yield lambda: read_look(here)
        return
    engine, kit = _asking(place)
    try:
        with engine.look(kit, ASK_S) as look:
            yield look
    except ProtocolError as error:
        if not (here / STATE).exists():
            raise
        typer.echo(f"{error}; this is what its files here say", err=True)
        yield lambda: read_look(here)


def _is_party(place: Path) -> bool:
    """Whether it is the kit of a server or a site."""
    from fedket.deploy.kit import FEDERATION, SITE, own_files

    return any((own_files(place) / name).exists() for name in (FEDERATION, SITE))


def _asking(place: Path) -> "tuple[DeploymentEngine, Path]":
    """The engine, and the kit of who asks: a person's own, or the coordinator's in a folder."""
    from fedket.deploy.engines.kind import deployment_of
    from fedket.deploy.files import kit_engine
    from fedket.deploy.kit import PERSON_FILE, own_files
    from fedket.deploy.project import read_layout

    if (own_files(place) / PERSON_FILE).exists():
        return deployment_of(kit_engine(place)), place
    layout = read_layout(place)
    return layout.engine, layout.kits["admin"]


class RoundPrinter:
    """Prints each round that ends after the first look."""

    def __init__(self) -> None:
        self._shown: int | None = None

    def told(self, look: "Look") -> None:
        """Print what is new."""
        rounds, recent = (look.state.rounds, look.state.recent) if look.state else (0, ())
        if self._shown is None:
            self._shown = rounds
        elif rounds < self._shown:  # another run has begun
            self._shown = 0
        for record in recent:
            if record["round"] > self._shown:
                typer.echo(_in_words(record))
        self._shown = rounds


def _in_words(record: Mapping[str, Any]) -> str:
    """What a round came to, in a line."""
    loss, test = record["train_loss"], record["test_accuracy"]
    sites = record["metrics"].get("site_accuracy")
    left = "; ".join(dict.fromkeys(record.get("dropped", {}).values()))
    parts = [f"lost: {record['lost']}" if loss is None else f"loss {loss:.4f}"]
    parts += [] if test is None else [f"test accuracy {100 * test:.1f} %"]
    parts += [] if sites is None else [f"at the sites {100 * sites:.1f} %"]
    words = ", ".join(parts) + (f"; left out: {left}" if left else "")
    return f"round {record['round']}: {words}"


def _parties(place: Path) -> dict[str, str]:
    """Party -> whether its process runs, for those that `local` started here."""
    if _is_party(place):
        return {}
    from fedket.deploy import local

    found = local.processes(place)
    return {s.party: "running" if local.is_alive(s) else "gone" for s in found}


def _print(look: "Look") -> None:
    for line in headlines(look):
        typer.echo(line)
    if look.state and look.state.sites:
        print_table(site_rows(look.state), HEADINGS, (3, 4))


def headlines(look: "Look") -> list[str]:
    """How a federation is doing, but for its sites."""
    from fedket.deploy.operating.certificates import WARN_DAYS, days_left

    state, problems = look.state, [f"problem: {said}" for said in look.problem.splitlines()]
    if state is None:
        return ["no run has begun yet", *problems]
    said = [f"{state.experiment}: {look.status}, {state.rounds} of {state.of} rounds finished"]
    said += [_in_words(state.last)] if state.last else []
    if look.status in ("starting", "running") and state.phase:
        said.append(f"{state.phase} since {_clock(state.phase_since)}")
    said += problems
    if not state.sites:  # it is a site that says this
        key = ", ".join(f"{link.peer} {link.rounds:.0f}" for link in state.links)
        said += [f"key for rounds, by link: {key}"] if key else []
        said += [f"problems in this session: {state.problems}"]
    said += [
        f"certificate {one.file} ends in {days:.0f} days"
        for one in state.certificates
        if (days := days_left(one)) < WARN_DAYS
    ]
    return said


def site_rows(state: "FederationState") -> list[tuple[str, ...]]:
    """A row for each site, see `HEADINGS`."""
    left = {link.peer: link.rounds for link in state.links}
    return [
        (
            site.name,
            "yes" if site.inside else "no",
            _clock(site.since),
            "" if site.seconds is None else f"{site.seconds:.2f}",
            "" if (rounds := left.get(site.name)) is None else f"{rounds:.0f}",
            site.why,
        )
        for site in state.sites
    ]


def _clock(when: str) -> str:
    """A time of a state as people here read it."""
    from datetime import datetime

    return datetime.fromisoformat(when).astimezone().strftime("%H:%M:%S") if when else ""


def _watch(look: "Callable[[], Look]") -> None:
    """Show it over and over."""
    from rich.console import Group
    from rich.live import Live
    from rich.table import Table
    from rich.text import Text

    def shown() -> Group:
        seen, table = look(), Table(box=None, pad_edge=False, header_style="bold")
        for column, heading in enumerate(HEADINGS):
            table.add_column(heading, justify="right" if column in (3, 4) else "left")
        rows = site_rows(seen.state) if seen.state else []
        for row in rows:
            table.add_row(*map(Text, row))
        sites = [table] if rows else []
        return Group(*map(Text, headlines(seen)), *sites, *map(Text, seen.news[-5:]))

    with Live(shown(), auto_refresh=False) as live:
        while True:
            with handled_interrupts() as interrupts:
                try:
                    interrupts.run(lambda: time.sleep(WATCH_S))
                except KeyboardInterrupt:
                    raise typer.Exit(INTERRUPTED) from None
            live.update(shown(), refresh=True)
