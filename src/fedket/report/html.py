"""The parts of a page. Arguments are plain text and are escaped here, unless named `*_html`.

The page is one file: style and figures are inline, there is no script, and its content security
policy forbids the browser to load anything else.
"""

from base64 import b64encode
from collections import defaultdict
from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources
from typing import NamedTuple

from fedket.errors import printable
from fedket.report.wording import count, number_ranges, plural, shorten

MAX_ROWS = 50
"""Of a table of events; the rest is counted."""


def text(value: object) -> str:
    """Any value as HTML text, safe inside elements and quoted attributes."""
    return escape(printable(str(value)), quote=True)


def page(title: str, parts_html: Iterable[str]) -> str:
    """A whole document; parts that are empty are left out."""
    body = "\n".join(filter(None, parts_html))
    style = resources.files("fedket.report").joinpath("page.css").read_text(encoding="utf-8")
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{text(title)}</title>
<style>
{style}</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


def header(eyebrow: str, title: str, description: str, rest_html: str = "") -> str:
    """The head of a page; the description keeps its lines."""
    about = f'<p class="description">{text(description)}</p>\n' if description.strip() else ""
    return (
        f'<header>\n<p class="eyebrow">{text(eyebrow)}</p>\n<h1>{text(title)}</h1>\n'
        f"{about}{rest_html}</header>"
    )


def facts(pairs: Iterable[tuple[str, object]]) -> str:
    """A line of short labelled values."""
    items = "".join(f"<li><span>{text(k)}</span> {text(v)}</li>" for k, v in pairs)
    return f'<ul class="facts">{items}</ul>\n'


class Tile(NamedTuple):
    """One key figure: `exact` is the number as stored, `shown` its rounded form with unit."""

    label: str
    shown: str
    exact: float | int | None
    detail: str = ""


def tiles(all_tiles: Iterable[Tile]) -> str:
    """Key figures side by side."""
    return f'<dl class="tiles">\n{"".join(map(_tile, all_tiles))}</dl>'


def _tile(tile: Tile) -> str:
    exact = "" if tile.exact is None else repr(tile.exact)
    detail = f'<dd class="detail">{text(tile.detail)}</dd>' if tile.detail else ""
    return (
        f'<div class="tile"><dt>{text(tile.label)}</dt><dd class="value">'
        f'<data value="{text(exact)}" title="{text(exact)}">{text(tile.shown)}</data></dd>'
        f"{detail}</div>\n"
    )


def section(title: str, body_html: str) -> str:
    """A titled part of the page."""
    return f"<section>\n<h2>{text(title)}</h2>\n{body_html}\n</section>"


def figure(title: str, svg_html: str, caption: str, links_html: str = "") -> str:
    """A drawing with a title above, one sentence below, and links to its files."""
    return (
        f"<figure>\n<h3>{text(title)}</h3>\n{svg_html}\n"
        f"<figcaption>{text(caption)}{links_html}</figcaption>\n</figure>"
    )


def downloads(files: Iterable[tuple[str, str, bytes]]) -> str:
    """Links to files that are in the page: name, media type, content."""
    links = " ".join(
        f'<a download="{text(name)}" href="data:{kind};base64,{b64encode(content).decode()}" '
        f'aria-label="Download {text(name)}">{text(name.rpartition(".")[2].upper())}</a>'
        for name, kind, content in files
    )
    return f'<span class="downloads">{links}</span>'


def figures(all_html: Iterable[str]) -> str:
    """Figures in columns."""
    return f'<div class="figures">\n{"".join(all_html)}\n</div>'


def card(body_html: str) -> str:
    """A framed block."""
    return f'<div class="card">\n{body_html}\n</div>'


def table(
    head: Sequence[str], rows: Iterable[Sequence[object]], swatches: Sequence[str] = ()
) -> str:
    """A table whose rows become blocks on narrow screens.

    Args:
        head: Column names.
        rows: Cells; the first of a row names it.
        swatches: CSS colours shown before the rows' names, if given one per row.
    """
    columns = "".join(f'<th scope="col">{text(name)}</th>' for name in head)
    body = "\n".join(
        _row(head, row, swatches[number] if swatches else "") for number, row in enumerate(rows)
    )
    kind = "stack runs" if swatches else "stack"
    return (
        f'<div class="scroll"><table class="{kind}">\n<thead><tr>{columns}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def _row(head: Sequence[str], row: Sequence[object], swatch: str) -> str:
    style = f' style="--swatch: {text(swatch)}"' if swatch else ""
    cells = "".join(
        f'<td data-label="{text(name)}">{text(cell)}</td>'
        for name, cell in zip(head[1:], row[1:], strict=True)
    )
    return f'<tr{style}><th scope="row">{text(row[0])}</th>{cells}</tr>'


def rounds_section(
    title: str, head: Sequence[str], events: Iterable[tuple[tuple[str, ...], int]]
) -> str:
    """A section with a row for each different event, the most frequent first; empty if none.

    Args:
        title: Of the section.
        head: Names of the columns that say what happened.
        events: What happened, a text for each of `head`, and in which round.
    """
    rounds: dict[tuple[str, ...], list[int]] = defaultdict(list)
    for what, number in events:
        rounds[what].append(number)
    if not rounds:
        return ""
    most_first = sorted(rounds.items(), key=lambda item: -len(item[1]))
    rows = [
        (first, count(len(numbers)), shorten(number_ranges(numbers), 80), *rest)
        for (first, *rest), numbers in most_first[:MAX_ROWS]
    ]
    body = table((head[0], "Rounds", "Which", *head[1:]), rows)
    left_out = len(most_first) - len(rows)
    if left_out:
        body += f"\n<p>{plural(left_out, 'more row')} in rounds.jsonl.</p>"
    return section(title, card(body))


def notes(pairs: Iterable[tuple[str, str]]) -> str:
    """Terms and what is to be said about them."""
    items = "\n".join(f"<dt>{text(term)}</dt><dd>{text(words)}</dd>" for term, words in pairs)
    return card(f'<dl class="notes">\n{items}\n</dl>')


def folded(summary: str, body_html: str) -> str:
    """What opens on a click."""
    return f"<details><summary>{text(summary)}</summary>\n{body_html}\n</details>"


def preformatted(content: str) -> str:
    """Text as it is."""
    return f"<pre>{text(content)}</pre>"


def footer(words: str) -> str:
    """The last line of a page."""
    return f"<footer>{text(words)}</footer>"
