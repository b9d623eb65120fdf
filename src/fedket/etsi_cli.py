"""`fedket keys doctor` and `fedket keys dev-pki`: what an operator needs around ETSI GS QKD 014.

The lead command mounts both with `add_etsi_commands`.
"""

import json
from pathlib import Path
from typing import Annotated

import typer

FAILED = 1
"""Exit code of a doctor that found something wrong."""


def doctor(
    config: Annotated[Path, typer.Argument(help="Configuration of one application (TOML).")],
    sample_s: Annotated[
        float, typer.Option(min=0, help="Seconds to watch the pools fill; 0 leaves rates out.")
    ] = 5.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Tell what is wrong with certificates, IDs, limits, rates and clocks; uses up no key.

    Exit code 1 if a run would not work. Example: fedket keys doctor trial/sae-1.toml
    """
    from fedket.keys.etsi014.config import SaeConfig, read_section
    from fedket.keys.etsi014.doctor import examine

    settings = read_section(config, SaeConfig)
    checks = []
    for check in examine(settings, sample_s):
        checks.append(check)
        if not as_json:
            typer.echo(f"{check.outcome:<4}  {check.name}: {check.found}")
    failures = sum(check.outcome == "fail" for check in checks)
    if as_json:
        typer.echo(json.dumps([check._asdict() for check in checks]))
    else:
        typer.echo(f"{failures} of {len(checks)} checks failed" if failures else "ready for a run")
    if failures:
        raise typer.Exit(FAILED)


def dev_pki(
    directory: Annotated[Path, typer.Argument(help="Where to write; nothing is overwritten.")],
    kme: Annotated[list[str] | None, typer.Option(help="ID of a KME; repeat for more.")] = None,
    sae: Annotated[list[str] | None, typer.Option(help="ID of an SAE; repeat for more.")] = None,
    host: Annotated[
        list[str] | None, typer.Option(help="Host name or address of the KMEs, the first is used.")
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=3650, help="How long they hold.")] = 90,
) -> None:
    """Make certificates and configuration files for a trial; not for production.

    Without options: kme-1 and kme-2 with sae-1 and sae-2. The files' keys are readable by you only.

    Example: fedket keys dev-pki trial --kme kme-1 --sae alice --sae bob
    """
    from fedket.keys.etsi014.dev_pki import HOSTS
    from fedket.keys.kme.trial import write_trial

    kmes, saes = kme or ["kme-1", "kme-2"], sae or ["sae-1", "sae-2"]
    trial = write_trial(directory, kmes, saes, host or HOSTS, days)
    typer.echo(f"wrote certificates of {len(kmes)} KMEs and {len(saes)} SAEs to {directory}")
    typer.echo(f"next: fedket kme serve {trial.kme_config}")
    typer.echo(f"then: fedket keys doctor {next(iter(trial.sae_configs.values()))}")


def add_etsi_commands(app: typer.Typer) -> None:
    """Mount both commands on the app of `fedket keys`."""
    app.command("doctor")(doctor)
    app.command("dev-pki")(dev_pki)
