"""What papers claim beside what was measured, at a glance; and what moves a number.

`claims.toml` is written by hand: a table `[[claim]]` for each claim of a paper, `[[change]]` for
each hypothesis why a number is what it is, with rows that differ in nothing else. Numbers,
intervals and verdicts are worked out from the stored rows.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Literal

import numpy as np

from fedket.errors import ConfigError
from fedket.report.statistics import Estimate, estimate, holm, paired_p
from fedket.report.wording import MISSING
from fedket.reproduce.result import RowResult
from fedket.reproduce.table import markdown_table
from fedket.schema import Table, read_table

CLAIMS = "claims.toml"

WIDE = 0.02
"""Half an interval that is wider says too little."""

Score = Literal["final", "last"]
Rows = Mapping[tuple[str, str], RowResult]
"""(paper, row) -> what is stored of it."""


class Claim(Table):
    """A sentence of a paper, and the rows that test it."""

    paper: str
    """Folder of the rows."""
    name: str
    """Of the paper, for readers."""
    says: str
    rows: tuple[str, ...]
    """Of several their mean is taken, seed by seed; none if nothing of it was run."""
    minus: tuple[str, ...] = ()
    """Rows that are subtracted, in the same order and seed by seed: the claim is a difference."""
    theirs: float
    """As printed, a fraction."""
    tolerance: float = 0.0
    """What the paper rounds to, or allows."""
    why: str = ""
    """What makes the difference, as far as it was tested; how long it takes if it was not run."""


class Change(Table):
    """One thing changed."""

    paper: str
    what: str
    """The hypothesis: what was changed, from what to what."""
    rows: tuple[str, ...]
    minus: tuple[str, ...] = ()
    """Rows without the change; none for the last model of the same runs, instead of the mean."""
    last: bool = False
    """Whether last models are compared, in rows that are scored by a mean of models."""


class Claims(Table):
    """The file."""

    claim: tuple[Claim, ...] = ()
    change: tuple[Change, ...] = ()
    unanswered: tuple[str, ...] = ()
    """Questions that papers leave open and no stored row answers yet."""


def read_claims(top: Path) -> Claims:
    """The claims of a folder of stored results; none if there is no such file.

    Raises:
        ConfigError: It does not hold claims.
    """
    path = top / CLAIMS
    return read_table(path, Claims) if path.exists() else Claims()


def claims_text(claims: Claims, results: Sequence[RowResult]) -> str:
    """Both tables as Markdown; empty without any."""
    stored = {(r.paper, r.row): r for r in results if r.profile == "full"}
    parts = []
    if claims.claim:
        head = (
            "Paper",
            "Claim",
            "Theirs",
            "Ours ± s. e.",
            "95 % interval",
            "Seeds",
            "Verdict",
            "Why",
        )
        parts += [markdown_table(head, [_claimed(claim, stored) for claim in claims.claim])]
    if claims.change:
        changed = "Changed, all else equal", "Points ± s. e.", "95 % interval", "Pairs", "p (Holm)"
        parts += ["## What moves the number\n", markdown_table(changed, _changed(claims, stored))]
    return "\n".join(parts)


def verdict(theirs: float, tolerance: float, ours: Estimate) -> str:
    """What the interval of the mean says of the paper's number."""
    if ours.low > theirs + tolerance:
        return "better"
    if ours.high < theirs - tolerance:
        return "not"
    return "reproduced" if ours.high - ours.mean < WIDE else "undecided"


def _claimed(claim: Claim, stored: Rows) -> tuple[str, ...]:
    theirs = _points(claim.theirs, bool(claim.minus))
    words = claim.name, claim.says, theirs
    why = " ".join(claim.why.split()) or MISSING
    if not claim.rows:
        return *words, MISSING, MISSING, MISSING, "not run", why
    values = _values(claim, stored)
    ours = estimate(values)
    shown = _with_error(ours, bool(claim.minus)), _interval(ours, bool(claim.minus))
    return *words, *shown, str(ours.n), verdict(claim.theirs, claim.tolerance, ours), why


def _changed(claims: Claims, stored: Rows) -> list[tuple[str, ...]]:
    found = [estimate(_values(c, stored)) for c in claims.change]
    adjusted = holm([paired_p(gaps) for gaps in found])
    return [
        (
            change.what,
            _with_error(gaps, True),
            _interval(gaps, True),
            str(gaps.n),
            MISSING if np.isnan(p) else f"{p:.2g}",
        )
        for change, gaps, p in zip(claims.change, found, adjusted, strict=True)
    ]


def _values(part: Claim | Change, stored: Rows) -> list[float]:
    """One number for each seed that all rows have: the mean over rows, or over differences."""
    gained = isinstance(part, Change) and not part.minus
    score: Score = "last" if isinstance(part, Change) and part.last else "final"
    plus = [_by_seed(part.paper, row, stored, score) for row in part.rows]
    minus = [_by_seed(part.paper, row, stored, score) for row in part.minus]
    if gained:
        minus = [_by_seed(part.paper, row, stored, "last") for row in part.rows]
    shared = sorted(set.intersection(*(set(values) for values in (*plus, *minus))))
    return [
        fmean(v[seed] for v in plus) - (fmean(v[seed] for v in minus) if minus else 0.0)
        for seed in shared
    ]


def _by_seed(paper: str, row: str, stored: Rows, score: Score) -> dict[int, float]:
    if (paper, row) not in stored:
        raise ConfigError(f"{CLAIMS} names the row `{row}` of {paper}, of which nothing is stored")
    values = {seed.seed: getattr(seed, score) for seed in stored[paper, row].seeds}
    return {seed: value for seed, value in values.items() if value is not None}


def _with_error(ours: Estimate, signed: bool) -> str:
    number, unit, _ = _points(float(ours.mean), signed).partition(" %")
    return f"{number}{f' ± {100 * ours.se:.2f}' * (ours.n > 1)}{unit}"


def _interval(ours: Estimate, signed: bool) -> str:
    low, high = (_points(float(end), signed) for end in (ours.low, ours.high))
    return f"{low.removesuffix(' %')} to {high}" if ours.n > 1 else MISSING


def _points(value: float, signed: bool) -> str:
    return f"{100 * value:+.2f}".replace("-", "−") if signed else f"{100 * value:.2f} %"
