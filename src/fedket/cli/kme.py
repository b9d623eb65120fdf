"""`fedket kme`: our own key managers, with simulated keys, for trials and tests."""

from pathlib import Path
from typing import Annotated

import typer

from fedket.cli.options import CommandGroup
from fedket.errors import ConfigError
from fedket.experiment.interrupts import handled_interrupts

app = typer.Typer(
    cls=CommandGroup, help="Run our own key managers (ETSI GS QKD 014), with simulated keys."
)


@app.command()
def serve(
    config: Annotated[
        Path, typer.Argument(help="Configuration (TOML); `fedket keys dev-pki` writes one.")
    ],
) -> None:
    """Serve key managers until Ctrl-C; their keys are simulated, their interface is real.

    Example: fedket keys dev-pki trial && fedket kme serve trial/kme.toml
    """
    from fedket.keys.kme.config import KmeConfig
    from fedket.keys.kme.trial import reach
    from fedket.schema import read_table

    settings = read_table(config, KmeConfig)
    try:
        from fedket.keys.kme.pools import KeyPools
        from fedket.keys.kme.server import serving
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"the package `{error.name}` is missing; install it with: pip install 'fedket[kme]'"
        ) from None
    with handled_interrupts() as interrupts, serving(KeyPools(settings)) as served:
        for kme in settings.kme:
            saes = ", ".join(kme.saes)
            typer.echo(f"KME {kme.id} on {served.urls[kme.id]} for {saes}{reach(kme.host)}")
        typer.echo("all keys are simulated; Ctrl-C stops")
        try:
            interrupts.run(served.thread.join)
        except KeyboardInterrupt:
            typer.echo("stopped; keys that were not fetched are gone")
