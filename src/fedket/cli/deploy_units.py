"""`fedket deploy units` and `helm`: a party as a service of a machine, or of a cluster."""

import getpass
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from fedket.files import write_atomic

Kit = Annotated[Path, typer.Argument(help="Startup kit of a server or a site, where it will run.")]
Output = Annotated[Path, typer.Option(help="Folder for the files.")]


def add_services(app: typer.Typer) -> None:
    """Add these commands to `fedket deploy`."""
    for command in (units, helm):
        app.command()(command)


def units(
    kit: Kit,
    output: Output = Path(),
    user: Annotated[
        str, typer.Option(help="User of the system who owns the kit; by default you.")
    ] = "",
    port: Annotated[
        int, typer.Option(min=1, max=65535, help="Of the page and the metrics, on loopback.")
    ] = 8003,
) -> None:
    """Write hardened systemd units: one runs the party, one its page and metrics.

    Each runs as its user with no other rights than to read the system and to write its kit.

    Example: fedket deploy units kits/hospital-a --user hospital-a --output units
    """
    from fedket.deploy.operating.units import units_of

    _write(units_of(kit, user or getpass.getuser(), port), output)
    typer.echo("each says at its end how it is installed; check: systemd-analyze verify FILE")


def helm(
    kit: Kit,
    image: Annotated[str, typer.Option(help="Image with its digest: NAME@sha256:…")],
    output: Output = Path("fedket-party"),
    kit_claim: Annotated[str, typer.Option(help="Claim of the volume that holds the kit.")] = "",
    samples_claim: Annotated[
        str, typer.Option(help="At a site: claim of the volume that holds its samples.")
    ] = "",
) -> None:
    """Write a Helm chart that runs a party in Kubernetes, with the values of its kit.

    The container's user is the kit's owner; it may write the kit and nothing else. A site's
    operator approves the experiment before: `fedket deploy consent`.

    Example: fedket deploy helm kits/hospital-a --image registry.example.org/fedket@sha256:…
    """
    from fedket.deploy.operating.helm import chart_of

    _write(chart_of(kit, image, kit_claim, samples_claim), output)
    typer.echo(f"next: read {output / 'values.yaml'}, then: helm lint {output}")


def _write(files: Mapping[str, str], folder: Path) -> None:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomic(path, content)
        typer.echo(f"wrote {path}")
