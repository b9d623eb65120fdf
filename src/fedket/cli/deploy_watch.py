"""`fedket deploy`: how a federation is doing, and its end."""

import json
from itertools import islice
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fedket.cli.options import JsonOption
from fedket.cli.tables import print_pairs

if TYPE_CHECKING:
    from fedket.deploy.project import Layout
    from fedket.record import RoundRecord

Folder = Annotated[Path, typer.Argument(help="A federation's folder, from `init` or `local`.")]


def add_watching(app: typer.Typer) -> None:
    """Add these commands to `fedket deploy`."""
    for command in (status, stop):
        app.command()(command)


def status(
    folder: Folder,
    as_json: JsonOption = False,
) -> None:
    """Show which processes of a local federation are running, and how far its run has got.

    Example: fedket deploy status deployments/quickstart-1
    """
    from fedket.deploy.local import is_alive, processes
    from fedket.deploy.project import read_layout
    from fedket.record_files import read_rounds

    layout = read_layout(folder)
    found = {s.party: is_alive(s) for s in processes(folder)}
    last: RoundRecord | None = None
    for record in read_rounds(layout.files("server") / "run"):
        last = record
    said: dict[str, Any] = {
        "processes": {party: "running" if alive else "gone" for party, alive in found.items()},
        "rounds": last.round if last else 0,
        "test_accuracy": last and last.test_accuracy,
        "site_accuracy": last and last.metrics.get("site_accuracy"),
        "dropped": last.dropped if last else {},
    }
    if as_json:
        typer.echo(json.dumps(said))
        return
    print_pairs(said["processes"].items())
    typer.echo(
        f"{said['rounds']} rounds finished" + (f"; the last: {in_words(last)}" if last else "")
    )


def stop(folder: Folder) -> None:
    """Stop all processes of a local federation; it can be resumed.

    Example: fedket deploy stop deployments/quickstart-1
    """
    from fedket.deploy.local import stop as stop_all
    from fedket.deploy.project import read_layout

    read_layout(folder)
    stopped = stop_all(folder)
    typer.echo(f"stopped {', '.join(stopped)}" if stopped else "nothing was running")


def follow(layout: "Layout", ended: Event) -> None:
    """Print each round when its record is there."""
    from fedket.record_files import read_rounds

    run, shown = layout.files("server") / "run", 0
    for _ in read_rounds(run):
        shown += 1
    while True:
        last = ended.wait(0.5)
        for record in islice(read_rounds(run), shown, None):
            typer.echo(in_words(record))
            shown += 1
        if last:
            return


def in_words(record: "RoundRecord") -> str:
    """Return what a round came to, in a line."""
    loss, test = record.train_loss, record.test_accuracy
    sites = record.metrics.get("site_accuracy")
    left = "; ".join(dict.fromkeys(record.dropped.values()))
    parts = [f"lost: {record.lost}" if loss is None else f"loss {loss:.4f}"]
    parts += [] if test is None else [f"test accuracy {100 * test:.1f} %"]
    parts += [] if sites is None else [f"at the sites {100 * sites:.1f} %"]
    words = ", ".join(parts) + (f"; left out: {left}" if left else "")
    return f"round {record.round}: {words}"
