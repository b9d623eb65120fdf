"""Numbers and names as people read them: units, three significant digits, short labels.

Prefixes are decimal: 1 kB = 1,000 bytes. A narrow no-break space keeps number and unit together;
a missing value is an en dash.
"""

import math

from fedket.errors import printable

MISSING = "–"
NARROW_SPACE = "\u202f"
PREFIXES = ("", "k", "M", "G", "T", "P", "E")


def decimal_prefix(largest: int | float) -> tuple[float, str]:
    """The factor and prefix in which `largest` has one to three digits before the point."""
    power = 0
    while largest >= 1000 ** (power + 1) and power < len(PREFIXES) - 1:
        power += 1
    return 1000.0**power, PREFIXES[power]


def quantity(value: int, unit: str) -> str:
    """A size such as `12.3 MB` (unit `B`) or `4.20 Mbit` (unit `bit`)."""
    factor, prefix = decimal_prefix(value)
    number = str(value) if factor == 1 else three_digits(value / factor)
    return f"{number}{NARROW_SPACE}{prefix}{unit}"


def three_digits(value: int | float) -> str:
    """Three significant digits, never an exponent between 0.01 and a billion."""
    if not math.isfinite(value):
        return "not finite"
    if value != 0 and not 0.01 <= abs(value) < 1e9:
        return f"{value:.2e}"
    size = abs(value)
    decimals = 0 if size >= 100 or size == 0 else 1 if size >= 10 else 2 if size >= 1 else 3
    return f"{value:,.{decimals}f}"


def count(value: int) -> str:
    """A whole number with thousands separated."""
    return f"{value:,}"


def plural(value: int, noun: str) -> str:
    """`1 round`, `2 rounds`."""
    return f"{value:,} {noun}" if value == 1 else f"{value:,} {noun}s"


def percent(fraction: float | None) -> str:
    """A fraction in 0..1 as a percentage with two decimals."""
    return MISSING if fraction is None else f"{100 * fraction:.2f}{NARROW_SPACE}%"


def points(fraction: float) -> str:
    """A difference of fractions in percentage points."""
    return f"{100 * fraction:.2f}{NARROW_SPACE}points"


def loss(value: float | None, evaluated: bool = True) -> str:
    """A loss with four decimals; records hold None for one that is not finite."""
    if value is None:
        return "not finite" if evaluated else MISSING
    return f"{value:.4f}"


def duration(seconds: int | float) -> str:
    """A time span in the two largest fitting units."""
    if 0 < seconds < 0.1:
        return f"{three_digits(1e3 * seconds)}{NARROW_SPACE}ms"
    if seconds < 60:
        return f"{three_digits(seconds)}{NARROW_SPACE}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{NARROW_SPACE}min {rest}{NARROW_SPACE}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}{NARROW_SPACE}h {minutes}{NARROW_SPACE}min"


def shorten(text: str, limit: int) -> str:
    """The text if it fits, else its beginning and end around an ellipsis."""
    text = printable(" ".join(text.split()))
    if len(text) <= limit:
        return text
    head = (limit - 1) * 2 // 3
    return f"{text[:head]}…{text[len(text) - (limit - 1 - head) :]}"


def number_ranges(numbers: list[int]) -> str:
    """Ascending whole numbers with runs folded: `3, 7–9`."""
    parts: list[list[int]] = []
    for number in sorted(set(numbers)):
        if parts and number == parts[-1][-1] + 1:
            parts[-1][1:] = [number]
        else:
            parts.append([number])
    return ", ".join("–".join(str(n) for n in part) for part in parts)
