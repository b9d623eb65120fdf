"""What a person sees while a run goes on, and after it."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table

from fedket.experiment import ExperimentConfig

OnRound = Callable[[dict[str, Any]], None]
LINES_WITHOUT_TERMINAL = 20
"""Progress lines of a whole run when output goes to a file."""


@contextmanager
def silent() -> Iterator[OnRound]:
    """Show nothing."""
    yield lambda _: None


@contextmanager
def watch(config: ExperimentConfig) -> Iterator[OnRound]:
    """Show a live table on a terminal, or a line now and then elsewhere."""
    console = Console(highlight=False)
    what = f"{config.name}: {config.description}" if config.description else config.name
    console.print(what)
    console.print(
        f"{config.federation.rounds} rounds, {config.partition.num_clients} clients, "
        f"{config.strategy.kind}, {config.aggregation.kind} aggregation; compiling …"
    )
    rounds = config.federation.rounds
    seen: list[dict[str, Any]] = []
    if not console.is_terminal:
        every = max(1, rounds // LINES_WITHOUT_TERMINAL)

        def on_round(record: dict[str, Any]) -> None:
            seen.append(record)
            if record["round"] % every == 0 or record["round"] == rounds:
                left = _seconds_left(seen, rounds)
                sys.stdout.write(f"  {_line(record, seen, rounds, left)}\n")
                sys.stdout.flush()

        yield on_round
        return
    with Live(console=console, refresh_per_second=8, transient=False) as live:

        def on_round_live(record: dict[str, Any]) -> None:
            seen.append(record)
            live.update(_table(seen, rounds))

        yield on_round_live


def _table(seen: list[dict[str, Any]], rounds: int) -> Table:
    """The last few rounds, newest below."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title in ("round", "loss", "accuracy", "seconds", "key spent", "time left"):
        table.add_column(title, justify="right", min_width=9)
    for i in range(max(0, len(seen) - 8), len(seen)):
        left = _seconds_left(seen, rounds) if i == len(seen) - 1 else None
        table.add_row(*_cells(seen[i], seen[: i + 1], rounds, left))
    return table


def _cells(
    record: dict[str, Any], seen: list[dict[str, Any]], rounds: int, left: float | None
) -> list[str]:
    accuracy = record["test_accuracy"]
    return [
        f"{record['round']}/{rounds}",
        f"{record['train_loss']:.4f}",
        "–" if accuracy is None else f"{100 * accuracy:.1f} %",
        f"{record['seconds']:.2f}",
        format_bits(sum(r["key_bits"] for r in seen)),
        "" if left is None else format_seconds(left),
    ]


def _line(record: dict[str, Any], seen: list[dict[str, Any]], rounds: int, left: float) -> str:
    round_of, loss, accuracy, seconds, key, rest = _cells(record, seen, rounds, left)
    return (
        f"round {round_of}  loss {loss}  accuracy {accuracy}  {seconds} s  key {key}  left {rest}"
    )


def _seconds_left(seen: list[dict[str, Any]], rounds: int) -> float:
    """Remaining rounds at the mean pace, without the first round if there is another: it compiles."""
    paces = [record["seconds"] for record in seen[1:] or seen]
    return float((rounds - seen[-1]["round"]) * sum(paces) / len(paces))


def format_bits(bits: float) -> str:
    """Bits with a decimal prefix."""
    for unit in ("bit", "kbit", "Mbit", "Gbit"):
        if bits < 1000:
            return f"{bits:.3g} {unit}"
        bits /= 1000
    return f"{bits:.3g} Tbit"


def format_bytes(num_bytes: float) -> str:
    """Bytes with a decimal prefix."""
    for unit in ("B", "kB", "MB", "GB"):
        if num_bytes < 1000:
            return f"{num_bytes:.3g} {unit}"
        num_bytes /= 1000
    return f"{num_bytes:.3g} TB"


def format_seconds(seconds: float) -> str:
    """Seconds as `12 s`, `3 min 20 s` or `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def print_summary(summary: dict[str, Any], directory: Path, report: Path) -> None:
    """The closing lines of a run."""
    accuracy = summary["test_accuracy"]
    rows = {
        "test accuracy": "not evaluated" if accuracy is None else f"{100 * accuracy:.2f} %",
        "rounds": f"{summary['rounds']} in {format_seconds(summary['seconds'])}",
        "uploaded": format_bytes(summary["upload_bytes"]),
        "key spent": format_bits(summary["key_bits"]),
        "left-out updates": str(summary["dropped_updates"]),
        "run": str(directory),
        "report": str(report),
    }
    _print_rows(rows)


def print_facts(facts: dict[str, Any]) -> None:
    """What `fedket show` says of an experiment."""
    clients = f"{facts['clients']}, {facts['clients_per_round']} per round"
    rows = {
        "parameters": f"{facts['parameters']:,}",
        "qubits": str(facts["qubits"]),
        "clients": clients,
        "samples": f"{facts['num_train']:,} training, {facts['num_test']:,} test, "
        f"{facts['num_classes']} classes",
        "upload": f"{format_bytes(facts['upload_bytes_per_client'])} per client and round",
        "download": f"{format_bytes(facts['download_bytes_per_client'])} per client and round",
        "key": f"{format_bits(facts['key_bits_per_pair'])} per pair and round",
    }
    _print_rows(rows)


def _print_rows(rows: dict[str, str]) -> None:
    width = max(map(len, rows))
    for name, value in rows.items():
        sys.stdout.write(f"{name:<{width}}  {value}\n")
