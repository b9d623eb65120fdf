"""The one printer of tables.

On a terminal the cells of a table wrap within its width. In a pipe or a file nothing is wrapped or
cut, and there are no escape sequences. Rich reads NO_COLOR and FORCE_COLOR.
"""

import sys
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

UNLIMITED = 100_000
"""Columns of what has no width of its own."""


def make_console() -> "Console":
    """Standard output, which takes text as it is: no markup, no emoji codes, no highlighting."""
    from rich.console import Console

    width = None if sys.stdout.isatty() else UNLIMITED
    return Console(width=width, highlight=False, markup=False, emoji=False)


def print_table(
    rows: Iterable[Sequence[str]],
    headings: Sequence[str] = (),
    numbers: Collection[int] = (),
    *,
    wrap: bool = True,
) -> None:
    """Print rows in aligned columns.

    Args:
        rows: Cells of each row, as many in each.
        headings: Names of the columns; none prints no heading.
        numbers: Columns, counted from 0, that are aligned to the right.
        wrap: Whether cells wrap within a terminal's width.
    """
    from rich.table import Table

    console, rows = make_console(), list(rows)
    if not wrap:
        console.width = UNLIMITED
    table = Table(box=None, pad_edge=False, show_header=bool(headings), header_style="bold")
    for column in range(len(headings) or max(map(len, rows), default=0)):
        table.add_column(
            headings[column] if headings else "",
            justify="right" if column in numbers else "left",
            overflow="fold",
        )
    for row in rows:
        table.add_row(*row)
    with console.capture() as printed:
        console.print(table)
    for line in printed.get().splitlines():
        console.file.write(line.rstrip() + "\n")


def print_pairs(pairs: Iterable[tuple[str, str]]) -> None:
    """Print names and values; long values keep to one line, so that paths can be copied."""
    print_table(pairs, wrap=False)
