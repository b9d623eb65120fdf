"""What a person sees while a run goes on, and after it."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import typer
from rich.console import Console
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from fedket.cli.tables import make_console, print_pairs
from fedket.experiment.config import ExperimentConfig
from fedket.facts import Facts, KeyFeed, PrivacyFacts
from fedket.record import SIMULATED, RoundRecord, Summary
from fedket.record_files import FACTS, read_json
from fedket.report.wording import NARROW_SPACE, duration, quantity

OnRound = Callable[[RoundRecord], None]

LINES_WITHOUT_TERMINAL = 20
"""Progress lines of a whole run when output goes to a file."""

ROWS = 8
"""Rounds that the live table shows."""

LINK_RATES = 1e4, 1e5, 1e6
"""Bits per second of links: of far ones, of the trial's key manager, of near ones."""
MAX_NAMES = 20
"""Classes that are named."""


class Watcher(NamedTuple):
    """What is called when a run starts in its directory, and after each of its rounds."""

    on_start: Callable[[Path], None]
    on_round: OnRound


@contextmanager
def silent() -> Iterator[Watcher]:
    """Show nothing."""
    yield Watcher(lambda _: None, lambda _: None)


@contextmanager
def watch(config: ExperimentConfig) -> Iterator[Watcher]:
    """Show a live table on a terminal, and a line now and then elsewhere."""
    console = make_console()
    if not console.is_terminal:
        on_round = _write_lines(console, config.federation.rounds)
        yield Watcher(partial(_introduce, console, config), on_round)
        return
    waiting = Spinner("dots", "compiling the first round; Ctrl-C stops and saves")
    live = Live(waiting, console=console, refresh_per_second=8)

    def on_start(directory: Path) -> None:
        _introduce(console, config, directory)
        live.start()

    try:
        yield Watcher(on_start, _draw_table(live, config))
    finally:
        live.stop()


@contextmanager
def follow(title: str, config: ExperimentConfig) -> Iterator[Watcher]:
    """Show one of many runs in a line that disappears at its end; nothing if not on a terminal."""
    console, tally = make_console(), _Tally(config.federation.rounds)
    with console.status(Text(f"{title}: preparing")) as status:

        def on_start(_: Path) -> None:
            status.update(Text(f"{title}: compiling the first round"))

        def on_round(record: RoundRecord) -> None:
            status.update(Text(f"{title}: {_line(tally.cells(record))}"))

        yield Watcher(on_start, on_round)


def _introduce(console: Console, config: ExperimentConfig, directory: Path) -> None:
    what = f"{config.name}: {config.description}" if config.description else config.name
    console.print(what)
    console.print(
        f"{config.federation.rounds} rounds, {config.num_clients} clients, "
        f"{config.strategy.kind}, {config.aggregation.kind} aggregation, into {directory}",
        soft_wrap=True,
    )
    caveats = read_json(directory / FACTS, Facts).caveats
    for said in (*caveats.get("data", ()), *caveats.get("model", ())):
        console.print(f"  {said}", soft_wrap=True)


def _write_lines(console: Console, rounds: int) -> OnRound:
    """A line for about every twentieth round."""
    tally = _Tally(rounds)
    every = max(1, rounds // LINES_WITHOUT_TERMINAL)

    def on_round(record: RoundRecord) -> None:
        cells = tally.cells(record)
        _tell_trouble(console, record, tally)
        if record.round % every == 0 or record.round == rounds:
            console.print(f"  {_line(cells)}", soft_wrap=True)

    return on_round


def _draw_table(live: Live, config: ExperimentConfig) -> OnRound:
    """The last few rounds, newest below, and what was left out above them."""
    tally = _Tally(config.federation.rounds)
    rows: deque[dict[str, str]] = deque(maxlen=ROWS)

    def on_round(record: RoundRecord) -> None:
        if rows:
            rows[-1]["time left"] = ""
        rows.append(tally.cells(record))
        _tell_trouble(live.console, record, tally)
        live.update(_table(rows))

    return on_round


def _tell_trouble(console: Console, record: RoundRecord, tally: "_Tally") -> None:
    """Say that a round was lost, or what was left out of it unasked; of clipping once."""
    if record.lost:
        console.print(f"  round {record.round} is lost: {record.lost}", soft_wrap=True)
        return
    for client, reason in record.dropped.items():
        if reason.endswith(SIMULATED):
            continue
        console.print(f"  round {record.round}: left out client {client}: {reason}", soft_wrap=True)
    if record.clips_much and not tally.warned:
        tally.warned = True
        console.print(
            f"  round {record.round}: {100 * (record.clipped_share or 0):.1f} % of the updates' "
            "coordinates are beyond `aggregation.clip` and were cut off; a larger one avoids it",
            soft_wrap=True,
        )


def _table(rows: deque[dict[str, str]]) -> Table:
    """Rounds as rows, without columns that are empty."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    titles = [t for t in rows[-1] if t == "time left" or any(row[t] for row in rows)]
    for title in titles:
        table.add_column(title, justify="right", min_width=9)
    for row in rows:
        table.add_row(*(row[title] for title in titles))
    return table


def _line(cells: dict[str, str]) -> str:
    optional = {
        "validation": "validation",
        "left out": "left out",
        "clock": "clock",
        "key": "key spent",
        "ε": "epsilon",
        "clipped": "clipped",
        "left": "time left",
    }
    return (
        f"round {cells['round']}  loss {cells['loss']}  accuracy {cells['accuracy']}  "
        f"{cells['seconds']} s"
        + "".join(f"  {word} {cells[title]}" for word, title in optional.items() if cells[title])
    )


class _Tally:
    """Totals over the rounds seen so far."""

    def __init__(self, rounds: int) -> None:
        self.rounds, self.seen, self.seconds, self.key_bits = rounds, 0, 0.0, 0
        self.warned, self.clock = False, 0.0

    def cells(self, record: RoundRecord) -> dict[str, str]:
        """Count a round and put it in words; the first one compiles, which tells no pace."""
        self.seconds += record.seconds if self.seen else 0
        self.seen += 1
        self.key_bits += record.key_bits
        self.clock += record.simulated_s or 0
        loss, accuracy = record.train_loss, record.test_accuracy
        remaining = self.rounds - record.round
        pace = self.seconds / (self.seen - 1) if self.seen > 1 else None
        return {
            "round": f"{record.round}/{self.rounds}",
            "loss": "–" if loss is None else f"{loss:.4f}",
            "accuracy": "–" if accuracy is None else f"{100 * accuracy:.1f} %",
            "validation": _shown(record.validation_accuracy, record.validation_loss),
            "seconds": f"{record.seconds:.2f}",
            "left out": str(len(record.dropped)) if record.simulated_s is not None else "",
            "clock": _time(self.clock) if record.simulated_s is not None else "",
            "key spent": _size("bit", self.key_bits) if self.key_bits else "",
            "epsilon": "" if record.epsilon is None else f"{record.epsilon:.3g}",
            "clipped": f"{100 * (record.clipped_share or 0):.1f} %" if record.clips_much else "",
            "time left": "" if pace is None else _time(remaining * pace),
        }


def _size(unit: str, value: int | float) -> str:
    """A size as reports have it, with a space that every terminal can spell."""
    return quantity(round(value), unit).replace(NARROW_SPACE, " ")


def _time(seconds: int | float) -> str:
    return duration(seconds).replace(NARROW_SPACE, " ")


def print_summary(summary: Summary, directory: Path, report: Path) -> None:
    """The closing lines of a run."""
    clipped = summary.highest_clipped_share
    lost = f", {summary.lost_rounds} of them lost" if summary.lost_rounds else ""
    rows = {
        **_tested(summary),
        **_validation(summary),
        "rounds": f"{summary.rounds} in {_time(summary.seconds)}{lost}",
        **({"stopped early": summary.stopped} if summary.stopped else {}),
        "uploaded": _size("B", summary.upload_bytes),
        "key spent": _size("bit", summary.key_bits),
        "left-out updates": str(summary.dropped_updates),
        **({"clipped": f"{100 * clipped:.3g} % of a round at most"} if clipped else {}),
        "run": str(directory),
        "report": str(report),
    }
    typer.echo()
    print_pairs(rows.items())


def _tested(summary: Summary) -> dict[str, str]:
    """The last evaluation on the test set: a regression has a loss alone."""
    if summary.test_accuracy is not None:
        return {"test accuracy": f"{100 * summary.test_accuracy:.2f} %"}
    loss = summary.test_loss
    return {"test accuracy": "not evaluated"} if loss is None else {"test loss": f"{loss:.4g}"}


def _validation(summary: Summary) -> dict[str, str]:
    """What the validation split says of a run; nothing without one."""
    if summary.best_round is None:
        return {}
    shown = _shown(summary.validation_accuracy, summary.validation_loss)
    best = f"that of round {summary.best_round}, best.safetensors"
    return {"validation": shown, "best model": best}


def _shown(accuracy: float | None, loss: float | None) -> str:
    """An accuracy, else a loss, in words; empty for neither."""
    if accuracy is not None:
        return f"{100 * accuracy:.1f} %"
    return "" if loss is None else f"loss {loss:.4g}"


def print_facts(facts: Facts, evaluation: str, at_sites: bool = False) -> None:
    """What `fedket show` says of an experiment.

    Args:
        facts: Counted.
        evaluation: When and on what it is evaluated.
        at_sites: Whether its links are real, so that their rates are not known here.
    """
    from fedket.quantum.native import engine_name

    rows = {
        "parameters": f"{facts.parameters:,}",
        "qubits": str(facts.qubits),
        **({"runs on": facts.runs_on} if facts.runs_on else {}),
        **({"engine": f"{engine_name()} (of circuits)"} if facts.qubits else {}),
        **({"noise": facts.noise} if facts.noise else {}),
        **({"shots": facts.shots} if facts.shots else {}),
        **({"conditions": facts.conditions} if facts.conditions else {}),
        "clients": f"{facts.clients}, {facts.clients_per_round} per round",
        **({"graph": facts.graph} if facts.graph else {}),
        "samples": f"{facts.num_train:,} training, {facts.num_test:,} test, "
        + (f"{facts.num_validation:,} validation, " if facts.num_validation else "")
        + (f"{facts.num_classes} classes" if facts.num_classes > 1 else "numbers to predict"),
        **_classes(facts.class_names),
        "evaluation": evaluation,
        "upload": f"{_size('B', facts.upload_bytes_per_client)} per client and round",
        "download": f"{_size('B', facts.download_bytes_per_client)} per client and round",
        "key": _key_use(facts),
        **(_waits(facts) if at_sites else {}),
        **({"privacy": _promise(facts.privacy)} if facts.privacy else {}),
        **_key_feed(facts.key_feed),
        **{name: f"{value:g}" for name, value in facts.measured.items() if value is not None},
    }
    print_pairs(rows.items())
    for table in ("data", "model", "aggregation", "privacy", "attack"):
        for said in facts.caveats.get(table, ()):
            typer.echo(f"\n{said}")


def _classes(names: tuple[str, ...]) -> dict[str, str]:
    """Which label stands for which class, the first ones of many; nothing if they are the same."""
    if all(name == str(label) for label, name in enumerate(names)):
        return {}
    shown = ", ".join(f"{label} = {name}" for label, name in enumerate(names[:MAX_NAMES]))
    return {"classes": f"{shown}, ..." if len(names) > MAX_NAMES else shown}


def _promise(privacy: PrivacyFacts) -> str:
    if privacy.epsilon is None:
        return f"{privacy.kind} without noise: updates are clipped to {privacy.clip:g}, no more"
    if privacy.steps_to_clip is None:
        what = f"gradients of samples clipped to {privacy.clip:g}"
    else:
        what = f"updates clipped to {privacy.clip:g} ({privacy.steps_to_clip:.3g} steps)"
    return (
        f"epsilon {privacy.epsilon:.4g} at delta {privacy.delta:g} after {privacy.rounds_each} "
        f"rounds of a client: {privacy.kind} noise, multiplier {privacy.noise_multiplier:.4g}, on "
        f"sums of {what}"
    )


def _key_use(facts: Facts) -> str:
    if not facts.key_bits_per_round:
        return "none"
    each = _size("bit", facts.key_bits_per_pair)
    server = _size("bit", facts.key_bits_per_server_link)
    total = _size("bit", facts.key_bits_per_round)
    return f"{each} per pair and round, {server} per client with the server; {total} in all"


def _waits(facts: Facts) -> dict[str, str]:
    """How long links of some rates take for a round's key; a round waits for that of every link."""
    bits = facts.key_bits_per_pair + facts.key_bits_per_server_link
    said = [f"{duration(bits / rate)} at {_size('bit', rate)}/s" for rate in LINK_RATES]
    return {"waits for key": f"{', '.join(said)} a link, in every round"} if bits else {}


def _key_feed(feed: KeyFeed | None) -> dict[str, str]:
    """How long simulated links take to feed a round, and which is the tight one."""
    if feed is None:
        return {}
    if feed.seconds_per_round is None:
        return {"key supply": f"link {feed.tight_link} never delivers key (simulated)"}
    slowest = feed.links[0]
    pace = "key sets the pace" if feed.bound == "key" else "training sets the pace"
    return {
        "key supply": f"{feed.seconds_per_round:g} s per round (simulated): link "
        f"{feed.tight_link} needs {_size('bit', slowest.bits_per_round)} at "
        f"{_size('bit', slowest.rate_bps)}/s; {pace}",
        "first key": f"after {feed.first_key_s:g} s (simulated), with its first complete block",
    }
