"""Laws of the drawing and of the words: labels keep apart, numbers keep their size."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes

from fedket.errors import printable
from fedket.report.drawing import MAX_POINTS, draw, spread, thin
from fedket.report.figures import log_if_wide
from fedket.report.wording import (
    duration,
    number_ranges,
    percent,
    quantity,
    shorten,
    three_digits,
)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=30), st.floats(0.01, 0.2))
def test_labels_keep_their_order_and_distance_and_stay_inside(
    heights: list[float], gap: float
) -> None:
    placed = spread(heights, gap)
    fitting = min(gap, 1 / max(len(heights) - 1, 1))
    ordered = placed[np.argsort(heights, kind="stable")]
    assert np.all(np.diff(ordered) >= fitting - 1e-9)
    assert placed.min() >= -1e-9
    assert placed.max() <= 1 + 1e-9


@given(st.lists(st.integers(0, 10), min_size=1, max_size=10, unique=True))
def test_labels_that_do_not_touch_stay_where_they_are(tenths: list[int]) -> None:
    heights = [tenth / 10 for tenth in tenths]
    np.testing.assert_allclose(spread(heights, 0.09), heights, atol=1e-12)


@given(st.integers(1, 100_000))
def test_thinning_keeps_both_ends_and_order(length: int) -> None:
    kept = thin(length)
    assert (kept[0], kept[-1]) == (0, length - 1)
    assert len(kept) == min(length, MAX_POINTS)
    assert np.all(np.diff(kept) > 0)


def dots(ax: Axes) -> str:
    ax.plot([0, 1], "o")
    return "x"


def test_drawings_of_equal_content_share_no_id() -> None:
    first, second = (draw(name, "t", dots) for name in ("one", "two"))
    assert 'id="one-' in first
    assert "one-" not in second
    assert first.replace("one-", "two-") == second


def test_a_drawing_takes_colours_from_the_page_and_escapes_its_text() -> None:
    def paint(ax: Axes) -> str:
        ax.set_title("<b> $1 & \u6f22")
        return '"quoted"'

    svg = draw("x", "t", paint)
    assert "&lt;b&gt; $1 &amp; \u6f22" in svg
    assert 'aria-label="&quot;quoted&quot;"' in svg
    assert "var(--muted)" in svg
    assert "http" not in svg
    assert ": #" not in svg  # no colour of its own


@pytest.mark.parametrize("reach", [80.0, 1e5])
def test_logarithmic_axes_carry_a_few_plain_numbers(reach: float) -> None:
    def paint(ax: Axes) -> str:
        ax.plot([1, 2, 3], [0.05, 0.06, 0.05 * reach])
        ax.set_xticks([])
        ax.set_title("loss")
        log_if_wide(ax)
        return ""

    *numbers, title = re.findall(r"<text[^>]*>([^<]*)</text>", draw("x", "t", paint))
    assert title == "loss (logarithmic)"
    assert 2 <= len([float(number) for number in numbers]) <= 10


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (12_345_678, "12.3 MB"),
        (5 * 10**14, "500 TB"),
    ],
)
def test_quantities_have_three_digits_and_a_decimal_prefix(value: int, words: str) -> None:
    assert quantity(value, "B").replace("\u202f", " ") == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0, "0 s"), (0.42, "0.420 s"), (59.4, "59.4 s"), (61.0, "1 min 1 s"), (7260.0, "2 h 1 min")],
)
def test_durations_have_two_units_at_most(seconds: float, words: str) -> None:
    assert duration(seconds).replace("\u202f", " ") == words


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_three_digits_never_lose_the_size(value: float) -> None:
    words = three_digits(value)
    if not math.isfinite(value):
        assert words == "not finite"
    else:
        assert float(words.replace(",", "")) == pytest.approx(value, rel=0.051, abs=1e-300)


@given(st.lists(st.integers(1, 40), max_size=20))
def test_number_ranges_name_exactly_the_numbers(numbers: list[int]) -> None:
    named: set[int] = set()
    for part in filter(None, number_ranges(numbers).split(", ")):
        first, _, last = part.partition("–")
        named |= set(range(int(first), int(last or first) + 1))
    assert named == set(numbers)


@given(st.text(max_size=60), st.integers(5, 30))
def test_shortened_text_fits_and_is_printable(text: str, limit: int) -> None:
    short = shorten(text, limit)
    assert len(short) <= limit
    assert printable(short) == short


def test_percentages_have_two_decimals_or_are_missing() -> None:
    assert percent(0.93141).replace("\u202f", " ") == "93.14 %"
    assert percent(None) == "–"
