"""`fedket keys`: what a pad store holds and did. Heavy imports happen inside commands.

Errors are `FedketError`s; the command line makes them one line and exit code 2.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedket.errors import KeyMaterialError

if TYPE_CHECKING:
    from fedket.keys.store.audit import Entry
    from fedket.keys.store.status import StreamStatus

BAD_STORE = 2
"""Exit code of `verify` when the ledger does not hold."""

app = typer.Typer(
    help="Pad stores: what they hold, what happened to every byte, and whether the record holds.",
    no_args_is_help=True,
)

DirectoryArgument = Annotated[Path, typer.Argument(help="Directory of the pad store.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


@app.command()
def status(directory: DirectoryArgument, as_json: JsonOption = False) -> None:
    """Show how much key each link has left, and what became of the rest. Sizes are in bytes."""
    from fedket.keys.store.status import read_status

    found = read_status(directory)
    if as_json:
        streams = [{**s._asdict(), "last": s.last and s.last._asdict()} for s in found.streams]
        typer.echo(json.dumps({**found._asdict(), "streams": streams}))
        return
    typer.echo(f"pad store of {_party(found.owner)}, {found.entries} ledger entries")
    if found.streams:
        _print_table([_HEADINGS, *map(_status_row, found.streams)])


@app.command()
def audit(
    directory: DirectoryArgument,
    last: Annotated[int, typer.Option(min=0, help="Only the last entries; 0 means all.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """List the ledger: which bytes of which link went where, for which run and round."""
    from fedket.keys.store.status import read_ledger

    for seq, entry, digest in read_ledger(directory, last):
        if as_json:
            typer.echo(json.dumps({"seq": seq, **entry._asdict(), "hash": digest}))
        else:
            typer.echo(f"{seq:>7}  {_entry_line(entry)}  {digest[:16]}")


@app.command()
def verify(
    directory: DirectoryArgument,
    store_key: Annotated[
        Path | None, typer.Option(help="File with the store key, if it is not in the directory.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Check that nobody edited the ledger, and that no byte was used twice by its account."""
    from fedket.keys.store.store_key import read_store_key
    from fedket.keys.store.verify import verify

    result = verify(directory, None if store_key is None else read_store_key(store_key))
    if as_json:
        typer.echo(json.dumps({"ok": not result.findings, **result._asdict()}))
        if result.findings:
            raise typer.Exit(BAD_STORE)
        return
    if result.findings:
        more = f" (and {len(result.findings) - 1} more)" if len(result.findings) > 1 else ""
        raise KeyMaterialError(
            f"the ledger of {directory} does not hold: {result.findings[0]}{more}; do not use "
            "this store, ask who edited it (--json lists all findings)"
        )
    seal = "seal intact" if result.seal_checked else "seal not checked: no store key"
    typer.echo(f"the ledger holds: {result.entries} entries, {seal}")


_HEADINGS = (
    "from", "to", "available", "reserved", "consumed", "burned", "high-water", "last reservation"
)  # fmt: skip


def _status_row(stream: "StreamStatus") -> Sequence[str]:
    numbers = (
        stream.available,
        stream.reserved,
        stream.consumed,
        stream.burned,
        stream.high_water,
    )
    last = "none" if stream.last is None else _use(stream.last)
    ends = (_party(stream.sender), _party(stream.receiver))
    return (*ends, *(f"{number:,}" for number in numbers), last)


def _entry_line(entry: "Entry") -> str:
    ends = f"{_party(entry.sender)} -> {_party(entry.receiver)}"
    what = f"key {entry.key_id}" if entry.key_id else _use(entry)
    place = f"bytes {entry.start}..{entry.start + entry.length}"
    return f"{entry.event:<9}  {ends}  {place}  {what}".rstrip()


def _use(entry: "Entry") -> str:
    if not entry.purpose:
        return ""
    return f"{entry.purpose} for round {entry.round_num} of {entry.run}, {entry.mode}"


def _party(party: int) -> str:
    from fedket.types import SERVER

    return "server" if party == SERVER else f"client {party}"


def _print_table(rows: Iterable[Sequence[str]]) -> None:
    """Columns aligned: names to the left, numbers to the right."""
    lines = list(rows)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [
            cell.rjust(width) if 2 <= number < len(line) - 1 else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        typer.echo("  ".join(cells).rstrip())
