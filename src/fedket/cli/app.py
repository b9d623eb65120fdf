"""All commands and groups of `fedket`, in the order of its help."""

from typing import Annotated

import typer

from fedket._version import __version__
from fedket.cli import (
    circuit,
    deploy,
    doctor,
    keys,
    kme,
    leakage,
    noise,
    predict,
    qkd,
    reproduce,
    run,
    show,
    statistics,
    sweep,
)
from fedket.cli.options import CommandGroup

app = typer.Typer(
    cls=CommandGroup,
    help="Train quantum and hybrid models across many sites without moving their data.\n\n"
    "Start with `fedket list`, then `fedket run quickstart`.",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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


app.command()(run.run)
app.command()(sweep.sweep)
app.command()(show.show)
app.command("list")(show.list_experiments)
app.command()(show.report)
app.command()(show.export)
app.command()(predict.predict)
app.command()(statistics.statistics)
app.command()(circuit.draw)
app.command()(circuit.plateau)
app.command()(leakage.leakage)
app.command()(reproduce.reproduce)
app.command()(reproduce.results)
app.command()(doctor.doctor)
app.add_typer(deploy.app, name="deploy")
app.add_typer(keys.app, name="keys")
app.add_typer(kme.app, name="kme")
app.add_typer(noise.app, name="noise")
app.add_typer(qkd.app, name="qkd")
