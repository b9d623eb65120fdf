"""`fedket keys`: what a pad store holds and did, and what an operator needs for key delivery."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedket.cli.doctor import tell_checks
from fedket.cli.failures import BAD_INPUT
from fedket.cli.options import CommandGroup, JsonOption
from fedket.cli.tables import print_table
from fedket.errors import ConfigError, KeyMaterialError

if TYPE_CHECKING:
    from fedket.keys.material import KeyMaterial
    from fedket.keys.store.ledger import Entry
    from fedket.keys.store.reading import StreamStatus

app = typer.Typer(
    cls=CommandGroup,
    help="Pad stores: what they hold, what happened to each byte, whether the record is intact.",
)

DirectoryArgument = Annotated[Path, typer.Argument(help="Directory of the pad store.")]
StoreKeyOption = Annotated[
    Path | None, typer.Option(help="File with the store key, if it is not in the directory.")
]


@app.command()
def status(directory: DirectoryArgument, as_json: JsonOption = False) -> None:
    """Show how much key each link has left, and what became of the rest. Sizes are in bytes."""
    from fedket.keys.store.reading import read_status

    found = read_status(directory)
    if as_json:
        streams = [{**s._asdict(), "last": s.last and s.last._asdict()} for s in found.streams]
        typer.echo(json.dumps({**found._asdict(), "streams": streams}))
        return
    typer.echo(f"pad store of {_party(found.owner)}, {found.entries} ledger entries")
    if found.streams:
        print_table(map(_status_row, found.streams), _HEADINGS, numbers=_NUMBERS)


@app.command()
def audit(
    directory: DirectoryArgument,
    last: Annotated[
        int, typer.Option(min=0, help="Show only this many of the last entries; 0: all.")
    ] = 0,
    as_json: JsonOption = False,
) -> None:
    """List the ledger: which bytes of which link went where, for which run and round."""
    from fedket.keys.store.reading import read_ledger

    for seq, entry, digest in read_ledger(directory, last):
        if as_json:
            typer.echo(json.dumps({"seq": seq, **entry._asdict(), "hash": digest}))
        else:
            typer.echo(f"{seq:>7}  {_entry_line(entry)}  {digest[:16]}")


@app.command()
def verify(
    directory: DirectoryArgument,
    store_key: StoreKeyOption = None,
    as_json: JsonOption = False,
) -> None:
    """Check that nobody edited the ledger, and that it records no byte as used twice."""
    from fedket.keys.store.reading import verify

    result = verify(directory, _read_key(store_key))
    if as_json:
        typer.echo(json.dumps({"ok": not result.findings, **result._asdict()}))
        if result.findings:
            raise typer.Exit(BAD_INPUT)
        return
    if result.findings:
        more = f" (and {len(result.findings) - 1} more)" if len(result.findings) > 1 else ""
        raise KeyMaterialError(
            f"the ledger of {directory} is not intact: {result.findings[0]}{more}; do not use "
            "this store, and find out who edited it (--json lists all findings)"
        )
    seal = "seal intact" if result.seal_checked else "seal not checked: no store key"
    typer.echo(f"the ledger is intact: {result.entries} entries, {seal}")


@app.command()
def reset(
    directory: DirectoryArgument,
    link: Annotated[
        str, typer.Argument(help="The other party of the link: its number, or `server`.")
    ],
    store_key: StoreKeyOption = None,
) -> None:
    """Burn all key of a link, for instance where it is damaged; the party must not be running.

    Enough at one end; the other one goes on from the same place when they meet, with new key.

    Example: fedket keys reset hospital-a/local/fedket/pads 2
    """
    from fedket.keys.store import PadStore, read_status
    from fedket.types import SERVER

    if link != "server" and not link.isdecimal():
        raise ConfigError(f"a link is named by a party's number or `server`, got `{link}`")
    peer = SERVER if link == "server" else int(link)
    owner = read_status(directory).owner
    with PadStore.open(directory, owner, store_key=_read_key(store_key)) as store:
        burned = sum(store.reset(peer).values())
    typer.echo(
        f"burned {burned:,} bytes of the link between {_party(owner)} and {_party(peer)}; start "
        "the party again, the link goes on with new key"
    )


@app.command()
def compact(
    directory: DirectoryArgument,
    archive: Annotated[Path, typer.Argument(help="New file for the entries that are taken out.")],
    keep: Annotated[int, typer.Option(min=1, help="Latest entries that stay.")] = 10_000,
    store_key: StoreKeyOption = None,
) -> None:
    """Move old entries of the ledger to an archive; the party must not be running.

    The chain of hashes goes on from a checkpoint; what was used stays used.
    """
    from fedket.keys.store import PadStore, read_status

    owner = read_status(directory).owner
    with PadStore.open(directory, owner, store_key=_read_key(store_key)) as store:
        moved = store.compact(archive, keep)
    typer.echo(
        f"moved {moved:,} entries of the ledger to {archive}" if moved else "nothing to move"
    )


@app.command()
def doctor(
    config: Annotated[Path, typer.Argument(help="Configuration of one application (TOML).")],
    sample_s: Annotated[
        float, typer.Option(min=0, help="Seconds to watch the pools fill; 0 skips the rates.")
    ] = 5.0,
    try_one_key: Annotated[
        bool, typer.Option("--try-one-key", help="Take one key of each link, to see that it comes.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check certificates, IDs, limits, rates and clocks, without using up any key.

    Exit code 1 if a run would not work. Example: fedket keys doctor trial/sae-1.toml
    """
    from fedket.keys.etsi014.config import SaeConfig
    from fedket.keys.etsi014.doctor import examine
    from fedket.schema import read_table

    settings = read_table(config, SaeConfig)
    checks = examine(settings, sample_s, try_one_key=try_one_key)
    tell_checks(checks, "ready for a run", as_json)


@app.command("dev-pki")
def dev_pki(
    directory: Annotated[Path, typer.Argument(help="Where to write; nothing is overwritten.")],
    kme: Annotated[list[str] | None, typer.Option(help="ID of a KME; repeat for more.")] = None,
    sae: Annotated[list[str] | None, typer.Option(help="ID of an SAE; repeat for more.")] = None,
    host: Annotated[
        list[str] | None, typer.Option(help="Host name or address of the KMEs; the first is used.")
    ] = None,
    days: Annotated[int, typer.Option(min=1, max=3650, help="Days until they expire.")] = 90,
) -> None:
    """Make certificates and configuration files for a trial; not for production.

    Without options: kme-1 and kme-2 with sae-1 and sae-2. Only you can read the key files.

    Example: fedket keys dev-pki trial --kme kme-1 --sae alice --sae bob
    """
    from fedket.keys.kme.certificates import HOSTS
    from fedket.keys.kme.trial import write_trial

    kmes, saes = kme or ["kme-1", "kme-2"], sae or ["sae-1", "sae-2"]
    trial = write_trial(directory, kmes, saes, host or HOSTS, days)
    typer.echo(f"wrote certificates of {len(kmes)} KMEs and {len(saes)} SAEs to {directory}")
    typer.echo(f"next: fedket kme serve {trial.kme_config}")
    typer.echo(f"then: fedket keys doctor {next(iter(trial.sae_configs.values()))}")


_HEADINGS = (
    "from", "to", "available", "reserved", "consumed", "burned", "high-water", "last reservation"
)  # fmt: skip
_NUMBERS = range(2, 7)


def _read_key(path: Path | None) -> "KeyMaterial | None":
    from fedket.keys.store.store_key import read_store_key

    return None if path is None else read_store_key(path)


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
