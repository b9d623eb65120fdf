"""Pages can be read by everybody: enough contrast, words for every figure, nothing from elsewhere.

What Lighthouse checks of a page at rest, without a browser: WCAG 2.2, 1.1.1, 1.3.1, 1.4.3, 2.4.4.
"""

import base64
import csv
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from importlib import resources
from itertools import pairwise
from pathlib import Path

import pytest

from fedket.report import View, write_report
from fedket.report.drawing import GRID, INK, MUTED, SERIES
from fedket.report.prediction_figures import STRONGEST

MakeRun = Callable[..., Path]
Colour = tuple[float, ...]
CHROMIUM = shutil.which("chromium") or ""
ENOUGH = 4.5
"""Contrast of text, WCAG 1.4.3."""

STYLE = resources.files("fedket.report").joinpath("page.css").read_text(encoding="utf-8")


def colours(scheme: str) -> dict[str, Colour]:
    """Variables of the style sheet in a colour scheme."""
    light, dark = (
        {name: parse(value) for name, value in re.findall(r"--([\w-]+): (#[0-9a-f]{6});", block)}
        for block in STYLE.split("@media screen and (prefers-color-scheme: dark)")
    )
    return light if scheme == "light" else light | dark


def parse(colour: str) -> Colour:
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))


def contrast(one: Colour, other: Colour) -> float:
    """WCAG 2.2, contrast ratio of relative luminances."""

    def luminance(colour: Colour) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour]
        return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_stands_out_from_what_is_behind_it(scheme: str) -> None:
    found = colours(scheme)
    on_paper = ["ink", "muted", "good", "warn", "link", *(f"series-{n}" for n in range(8))]
    pairs = [(name, "paper") for name in on_paper]
    pairs += [(name, "page") for name in ("ink", "muted", "good", "warn")]
    low = {p: contrast(*(found[c] for c in p)) for p in pairs}
    assert {pair: ratio for pair, ratio in low.items() if ratio < ENOUGH} == {}
    cell = tuple(
        STRONGEST * c + (1 - STRONGEST) * p
        for c, p in zip(found["series-0"], found["paper"], strict=True)
    )
    assert contrast(found["ink"], cell) >= ENOUGH, "numbers in a confusion matrix"


def test_figures_have_the_colours_of_the_style_sheet() -> None:
    found = colours("light")
    names = {"ink": INK, "muted": MUTED, "grid": GRID}
    names |= {f"series-{number}": colour for number, colour in enumerate(SERIES)}
    assert {name: found[name] for name in names} == {n: parse(c) for n, c in names.items()}


class Elements(HTMLParser):
    """Start tags with their attributes, and the text of links."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def of(self, *tags: str) -> list[dict[str, str]]:
        return [attributes for tag, attributes in self.found if tag in tags]


@pytest.fixture(scope="module")
def run(make_shared_run: MakeRun) -> Path:
    """A run with a page that has all that can be on it."""
    made = make_shared_run(rounds=3, gradient_layers=2, drift=True, quality=True, num_clients=3)
    write_report([made], view=View(downloads=True))
    return made


@pytest.fixture(scope="module", params=["run", "comparison"])
def page(request: pytest.FixtureRequest, run: Path, make_shared_run: MakeRun) -> str:
    """The page of a run, and one of settings with several seeds."""
    if request.param == "run":
        return (run / "report.html").read_text()
    others = [
        make_shared_run(f"{seed}", seed=seed, rounds=2, strategy="x", num_clients=3)
        for seed in (0, 1)
    ]
    view = View(downloads=True)
    return write_report([run, *others], run / "comparison.html", view).read_text()


def test_who_does_not_see_a_page_is_told_what_is_on_it(page: str) -> None:
    elements = Elements(page)
    assert elements.of("html") == [{"lang": "en"}]
    assert len(elements.of("title")) == len(elements.of("h1")) == 1
    figures = elements.of("svg")
    assert len(figures) > 4
    assert all(f["role"] == "img" and len(f["aria-label"]) > 20 for f in figures)
    links = [a["aria-label"] for a in elements.of("a")]
    assert len(links) == len(set(links)) == 4 * len(figures), "each names its file"
    assert all(head["scope"] in ("col", "row") for head in elements.of("th"))
    levels = [int(tag[1]) for tag, _ in elements.found if re.fullmatch(r"h\d", tag)]
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert "width=device-width" in page
    assert "user-scalable" not in page


def test_a_page_asks_nobody_for_anything(page: str) -> None:
    elements = Elements(page)
    loading = [
        a
        for _, attributes in elements.found
        for a in attributes
        if a in ("src", "srcset", "data", "poster", "action", "background")
    ]
    assert loading == []
    targets = [a["href"] for _, a in elements.found if "href" in a]
    assert all(target.startswith(("#", "data:")) for target in targets)
    assert not re.search(r"@import|url\((?!#)", page)
    assert not elements.of("script", "link", "img", "iframe", "object", "embed", "video", "form")


@pytest.mark.long
@pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")
@pytest.mark.parametrize("width", [400, 1400])
def test_nothing_is_wider_than_the_window(page: str, width: int, tmp_path: Path) -> None:
    measure = (
        "root = document.documentElement; document.title = root.scrollWidth - root.clientWidth"
    )
    scripted = re.sub(r"<meta http-equiv=[^>]*>", "", page)
    path = tmp_path / "page.html"
    path.write_text(scripted.replace("</body>", f"<script>{measure}</script></body>"))
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--window-size={width},900"]
    command = [CHROMIUM, *options, f"--user-data-dir={tmp_path}/p", "--dump-dom", path.as_uri()]
    dom = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert re.findall(r"<title>(.*?)</title>", dom) == ["0"]


def test_figures_are_saved_in_four_formats_and_their_numbers_are_those_of_the_run(
    run: Path,
) -> None:
    text = (run / "report.html").read_text()
    found = dict(re.findall(r'download="([^"]+)" href="data:[^;]+;base64,([^"]+)"', text))
    files = {name: base64.b64decode(content) for name, content in found.items()}
    assert files["accuracy.svg"].startswith(b"<?xml")
    assert files["accuracy.pdf"].startswith(b"%PDF")
    assert files["accuracy.png"].startswith(b"\x89PNG")
    lines = [json.loads(line) for line in (run / "rounds.jsonl").read_text().splitlines()]
    rows = list(csv.reader(files["accuracy.csv"].decode().splitlines()))
    assert rows[0] == ["series", "round", "test accuracy, %"]
    numbers = [[float(x) for x in row[1:]] for row in rows[1:]]
    assert numbers == [[r["round"], pytest.approx(100 * r["test_accuracy"])] for r in lines]
    assert len(files["confusion.csv"].decode().splitlines()) == 1 + 10 * 10
    assert all(len(content.splitlines()) > 1 for n, content in files.items() if n.endswith(".csv"))
