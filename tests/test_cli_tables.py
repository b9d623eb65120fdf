"""The printer of tables: complete and plain in a pipe, within its width on a terminal."""

import io
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedket.cli.tables import make_console, print_pairs, print_table

PRINTABLE = st.text(st.characters(codec="ascii", categories=("L", "N", "P", "S")), min_size=1)
"""Cells, with what Rich would take for markup (`[red]`) or an emoji code (`:x:`) in them."""


class Terminal(io.StringIO):
    """A terminal, as far as one asks."""

    def isatty(self):
        return True


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def printed(stream, function, *args, **options):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stdout", stream)
        function(*args, **options)
    return stream.getvalue()


@given(rows=st.lists(st.tuples(PRINTABLE, PRINTABLE, PRINTABLE), min_size=1, max_size=5))
def test_in_a_pipe_every_row_is_one_line_with_every_cell_as_it_is(rows):
    lines = printed(io.StringIO(), print_table, rows, numbers={1}).splitlines()
    assert [line.split() for line in lines] == [list(row) for row in rows]
    assert all(line == line.rstrip() for line in lines)


def test_in_a_pipe_nothing_is_cut():
    long = "x" * 5000
    assert long in printed(io.StringIO(), print_table, [("name", long)])
    assert long in printed(io.StringIO(), print_pairs, [("name", long)])
    sentence = " ".join(["word"] * 100)
    assert printed(io.StringIO(), lambda: make_console().print(sentence)) == f"{sentence}\n"


def test_columns_are_aligned_numbers_to_the_right():
    text = printed(
        io.StringIO(), print_table, [("a", "1"), ("long", "1,000")], ("name", "bytes"), {1}
    )
    assert text.splitlines() == ["name  bytes", "a         1", "long  1,000"]


def test_on_a_narrow_terminal_cells_wrap_and_nothing_is_lost(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    text = printed(Terminal(), print_table, [("n", letters)])
    assert max(map(len, text.splitlines())) <= 20
    assert "".join(text.split()) == f"n{letters}"


def test_on_a_narrow_terminal_a_path_stays_one_word(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    path = "runs/" + "very-long-" * 10
    assert path in printed(Terminal(), print_pairs, [("run", path)])


def test_escape_sequences_are_for_terminals_only():
    table = ([("a", "1")], ("name", "bytes"))
    assert "\x1b[1m" in printed(Terminal(), print_table, *table)
    assert "\x1b" not in printed(io.StringIO(), print_table, *table)


def test_no_color_is_respected(monkeypatch):
    def colourful():
        make_console().print("text", style="red")

    assert "\x1b[31m" in printed(Terminal(), colourful)
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[31m" not in printed(Terminal(), colourful)


def test_no_rows_print_nothing():
    assert printed(io.StringIO(), print_table, []).strip() == ""
