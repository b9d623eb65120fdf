"""`fedket doctor`, and how doctors say what they found."""

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

import typer

from fedket.cli.failures import INCOMPLETE
from fedket.cli.options import JsonOption

if TYPE_CHECKING:
    from fedket.keys.etsi014.doctor import Check


def doctor(as_json: JsonOption = False) -> None:
    """Say what is installed, which devices and data there are, and what is wrong.

    Exit code 1 if something is. What concerns a key manager says `fedket keys doctor`.
    """
    from fedket.cli.machine import examine

    tell_checks(examine(), "nothing is wrong", as_json)


def tell_checks(checks: "Iterable[Check]", all_well: str, as_json: bool) -> None:
    """Print findings as they come; end with exit code 1 if one of them is a failure."""
    found = []
    for check in checks:
        found.append(check)
        if not as_json:
            typer.echo(f"{check.outcome:<4}  {check.name}: {check.found}")
    failures = sum(check.outcome == "fail" for check in found)
    if as_json:
        typer.echo(json.dumps([check._asdict() for check in found]))
    else:
        typer.echo(f"{failures} of {len(found)} checks failed" if failures else all_well)
    if failures:
        raise typer.Exit(INCOMPLETE)
