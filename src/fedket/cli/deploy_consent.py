"""`fedket deploy consent`: what a site's operator agrees to, before its first round."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from fedket.cli.tables import print_table
from fedket.errors import ConfigError


def consent(
    kit: Annotated[Path, typer.Argument(help="A site's startup kit.")],
    yes: Annotated[bool, typer.Option("--yes", help="Approve without being asked.")] = False,
) -> None:
    """Show what an experiment would train and what leaves the site, and approve it.

    `deploy start` refuses one that was not approved, or has changed since; with `approve_members`
    in site.toml, also one in which a site takes part that was not there then.

    Example: fedket deploy consent kits/hospital-a
    """
    from fedket.deploy.deployable import check_deployable
    from fedket.deploy.files import OWN_FILES, SITE, own_files, read_site
    from fedket.deploy.operating.consent import approve, others, terms
    from fedket.experiment.load import load_config

    folder = own_files(kit)
    if not (folder / SITE).exists():
        raise ConfigError(f"{kit} is not the startup kit of a site: {OWN_FILES}/{SITE} is missing")
    site = read_site(folder / SITE)
    config = load_config(site.experiment)  # as it was founded: its fingerprint stays
    check_deployable(config, config.num_clients)
    members = others(folder, site)
    print_table(terms(config, site, members), wrap=sys.stdout.isatty())
    if not yes:
        if not sys.stdin.isatty():
            raise ConfigError("nobody can be asked here; read this, then approve it with --yes")
        typer.confirm("Do you approve this experiment for this site?", abort=True)
    approved = approve(folder, config, members=members)
    typer.echo(f"{approved.by} approved fingerprint {approved.fingerprint[:16]}")
