"""What a person sees while many runs go on: a live table, or a line for each that ended."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from fedket.cli.failures import INCOMPLETE, INTERRUPTED, fail
from fedket.cli.tables import make_console, print_pairs
from fedket.record import RoundRecord
from fedket.report.wording import NARROW_SPACE, duration, plural
from fedket.sweeps.complete import FINISHED, Ended
from fedket.sweeps.estimate import Estimate
from fedket.sweeps.pool import Task

OnRound = Callable[[str, RoundRecord], None]
OnEnd = Callable[[str, Ended], None]
"""(name of a run, what came)."""

SPARE_LINES = 6
"""Of a terminal, that the table leaves free."""


@contextmanager
def watch(runs: Mapping[str, int], *, quiet: bool = False) -> Iterator[tuple[OnRound, OnEnd]]:
    """Show many runs: in a live table on a terminal, a line for each elsewhere.

    Args:
        runs: Name of each -> its rounds.
        quiet: Whether to show nothing.
    """
    console, state = make_console(), _State(runs)

    def tell(run: str, ended: Ended) -> None:
        state.on_end(run, ended)
        console.print(f"{run}: {state.line(run)}  ({state.summary()})", soft_wrap=True)

    if quiet or not console.is_terminal:
        yield state.on_round, state.on_end if quiet else tell
        return
    with Live(console=console, refresh_per_second=4, get_renderable=lambda: state.draw(console)):
        yield state.on_round, state.on_end


class _State:
    """How far every run is."""

    def __init__(self, runs: Mapping[str, int]) -> None:
        self._rounds, self._start = runs, perf_counter()
        self._done: dict[str, int] = {}
        self._accuracy: dict[str, float] = {}
        self._ends: dict[str, Ended] = {}
        self._seen, self._first = 0, 0.0

    def on_round(self, run: str, record: RoundRecord) -> None:
        """Count a round; the first of all tells no pace, because it compiles."""
        if self._done:
            self._seen += 1
        else:
            self._first = perf_counter()
        self._done[run] = record.round
        if record.test_accuracy is not None:
            self._accuracy[run] = record.test_accuracy

    def on_end(self, run: str, ended: Ended) -> None:
        """Note how a run ended."""
        self._ends[run] = ended

    def cells(self, run: str) -> tuple[str, str, str]:
        """State, round and accuracy of a run in words."""
        ended, done = self._ends.get(run), self._done.get(run)
        accuracy = self._accuracy.get(run)
        return (
            ended.status if ended else "running",
            f"{done}/{self._rounds[run]}" if done else "",
            "" if accuracy is None else f"{100 * accuracy:.1f} %",
        )

    def line(self, run: str) -> str:
        """How a run ended, in a line."""
        state, rounds, accuracy = self.cells(run)
        if problem := self._ends[run].problem:
            return f"{state}: {problem}"
        parts = (state, rounds and f"round {rounds}", accuracy and f"accuracy {accuracy}")
        return ", ".join(filter(None, parts))

    def summary(self) -> str:
        """How many are done, and when all will be."""
        statuses = [ended.status for ended in self._ends.values()]
        failed, left = statuses.count("failed"), self._left()
        return (
            f"{sum(s in FINISHED for s in statuses)} of {len(self._rounds)} finished"
            + (f", {failed} failed" if failed else "")
            + f", {_time(perf_counter() - self._start)} so far"
            + (f", about {_time(left)} left" if left else "")
        )

    def _left(self) -> float:
        """Seconds at the pace of all rounds so far; 0 if there is none."""
        if not self._seen:
            return 0.0
        waiting = [run for run in self._rounds if run not in self._ends]
        rounds = sum(self._rounds[run] - self._done.get(run, 0) for run in waiting)
        return rounds * (perf_counter() - self._first) / self._seen

    def draw(self, console: Console) -> Group:
        """The runs that go on below those that ended last, as many as fit; and the summary."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("run", overflow="fold")
        for title in ("state", "round", "accuracy"):
            table.add_column(title, justify="right", min_width=8)
        going = [run for run in self._done if run not in self._ends]
        shown = [*self._ends, *going][-max(1, console.height - SPARE_LINES) :]
        for run in shown:
            table.add_row(run, *self.cells(run))
        return Group(table, Text(self.summary()))


def _time(seconds: float) -> str:
    return duration(seconds).replace(NARROW_SPACE, " ")


def print_estimate(tasks: Sequence[Task], found: Estimate) -> None:
    """How many runs and rounds there are, and how long they take."""
    rounds = sum(task.config.federation.rounds for task in tasks)
    rows = {
        "runs": f"{len(tasks)}, {found.kept} of them finished",
        "rounds": f"{rounds:,} in all",
        "programs": plural(found.programs, "group") + " of runs that share compiled programs",
        "time": f"about {_time(found.seconds)}",
        **({"not timed": found.problem} if found.problem else {}),
    }
    typer.echo()
    print_pairs(rows.items())


def leave(*, interrupted: bool, failed: bool) -> None:
    """Leave with the exit code of many runs, unless all are finished."""
    if interrupted:
        code = fail("interrupted; run the same command again to resume", INTERRUPTED)
        raise typer.Exit(code)
    if failed:
        raise typer.Exit(INCOMPLETE)
