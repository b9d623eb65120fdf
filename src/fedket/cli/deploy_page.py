"""The page of a running federation, made of what its server says; it looks like a run's report."""

import math
import time
from collections.abc import Callable, Sequence
from threading import Lock

from fedket.deploy.operating.certificates import WARN_DAYS, days_left
from fedket.deploy.operating.metrics import KIND, exposition
from fedket.deploy.operating.serving import Content, Routes
from fedket.deploy.operating.state import IN_WORDS, FederationState, Look
from fedket.report import html
from fedket.report.wording import count, duration

REFRESH_S = 2
"""How often a browser asks again."""

WIDTH, LABEL, ROW = 520, 130, 26
"""Of a figure with bars, in its own units."""


def routes(look: Callable[[], Look]) -> Routes:
    """Return what a server for watchers answers; it looks once a second at most."""
    lock, seen = Lock(), [(-math.inf, Look())]

    def latest() -> Look:
        with lock:
            if time.monotonic() - seen[0][0] > REFRESH_S / 2:
                seen[0] = time.monotonic(), look()
            return seen[0][1]

    return {
        "/": lambda: Content("text/html", federation_page(latest()), REFRESH_S),
        "/metrics": lambda: Content(KIND, exposition(latest())),
        "/state.json": lambda: Content("application/json", latest().model_dump_json(indent=1)),
    }


def federation_page(look: Look) -> str:
    """Return the whole page."""
    state = look.state
    if state is None:
        title = "No run has begun yet"
        return html.page(title, [html.header("fedket, federation", title, look.problem)])
    ends = state.certificates
    parts = [
        html.header("fedket, federation", state.experiment, "", _status(look) + _facts(state)),
        html.tiles(_tiles(state)),
        html.section("Sites", html.card(_sites(state))) if state.sites else "",
        html.section("Rounds and key", html.figures(_figures(state))) if _figures(state) else "",
        html.section("Certificates", html.card(_certificates(state))) if ends else "",
        html.section("News", html.card(html.preformatted(_news(look)))) if look.news else "",
        html.footer("Read only; written by the party's process once a second."),
    ]
    return html.page(f"{state.experiment}: {look.status}", parts)


def _status(look: Look) -> str:
    state = look.state
    good = " finished" if look.status in ("running", "finished") else ""
    words = [look.status]
    if state and look.status in ("starting", "running") and state.phase:
        words.append(f"{state.phase} since {_when(state.phase_since)}")
    words += [look.problem] if look.problem else []
    return f'<p class="status{good}">{html.text("; ".join(words))}</p>\n'


def _facts(state: FederationState) -> str:
    return html.facts(
        [
            ("fingerprint", state.fingerprint[:16]),
            ("session since", _when(state.since)),
            ("written", _when(state.written)),
        ]
    )


def _tiles(state: FederationState) -> list[html.Tile]:
    seconds = state.last.get("seconds")
    key = min((link.rounds for link in state.links), default=None)
    shown = [
        html.Tile("Rounds finished", f"{count(state.rounds)} of {count(state.of)}", state.rounds),
        html.Tile("Last round", duration(seconds) if seconds else "–", seconds),
        html.Tile("Least key left", "–" if key is None else f"{key:.0f} rounds", key),
    ]
    if not state.sites:
        return [*shown, html.Tile("Problems", count(state.problems), state.problems)]
    inside = sum(site.inside for site in state.sites)
    return [*shown, html.Tile("Sites in it", f"{inside} of {len(state.sites)}", inside)]


def _sites(state: FederationState) -> str:
    rows = [
        (
            site.name,
            "yes" if site.inside else "no",
            _when(site.since),
            "–" if site.seconds is None else duration(site.seconds),
            IN_WORDS.get(site.asked, site.asked) or "–",
            site.why or "–",
        )
        for site in state.sites
    ]
    return html.table(("Site", "Takes part", "Since", "Last round", "Waited for", "Why not"), rows)


def _figures(state: FederationState) -> list[str]:
    slow = [(s.name, s.seconds, duration(s.seconds)) for s in state.sites if s.seconds is not None]
    left = [(link.peer, link.rounds, f"{link.rounds:.0f} rounds") for link in state.links]
    losses = [(r["round"], r["train_loss"]) for r in state.recent if r.get("train_loss")]
    line = [html.figure("Training loss", _line(losses), "Mean over sites.")] if losses[1:] else []
    wanted = [
        ("Who is slow", slow, "Time of a site's answers in the last round, added up."),
        ("Key that is ready", left, "On this party's links, for rounds like the last one."),
    ]
    bars = [html.figure(title, _bars(rows), about) for title, rows, about in wanted if rows]
    return line + bars


def _line(points: Sequence[tuple[int, float]]) -> str:
    """A line through (round, value), with its first and last value."""
    (first, start), (last, end) = points[0], points[-1]
    low, high = (pick(value for _, value in points) for pick in (min, max))
    across, up = (WIDTH - LABEL) / (last - first), 4 * ROW / ((high - low) or 1.0)
    path = " ".join(f"{(r - first) * across:.1f},{8 + (high - v) * up:.1f}" for r, v in points)
    words = f"{start:.4g} in round {first}, {end:.4g} in round {last}"
    return (
        f'<svg viewBox="0 0 {WIDTH} {5 * ROW}" role="img" aria-label="{words}" font-size="13" '
        f'fill="var(--ink)"><polyline points="{path}" fill="none" stroke="var(--series-0)" '
        f'stroke-width="2"/><text x="0" y="{5 * ROW - 4}">round {first}</text>'
        f'<text x="{WIDTH - LABEL}" y="{5 * ROW - 4}" text-anchor="end">round {last}</text>'
        f'<text x="{WIDTH - LABEL + 8}" y="{12 + (high - end) * up:.1f}">{end:.4g}</text></svg>'
    )


def _bars(rows: Sequence[tuple[str, float, str]]) -> str:
    """Horizontal bars: (label, value, value in words)."""
    most = max((value for _, value, _ in rows), default=0.0) or 1.0
    room = WIDTH - LABEL - 90
    drawn = "".join(
        f'<text x="{LABEL - 8}" y="{i * ROW + 17}" text-anchor="end">{html.text(label[:18])}</text>'
        f'<rect x="{LABEL}" y="{i * ROW + 5}" width="{max(1.0, room * value / most):.1f}" '
        f'height="{ROW - 10}" rx="3" fill="var(--series-0)"/>'
        f'<text x="{LABEL + room * value / most + 8:.1f}" y="{i * ROW + 17}">'
        f"{html.text(words)}</text>"
        for i, (label, value, words) in enumerate(rows)
    )
    said = "; ".join(f"{label}: {words}" for label, _, words in rows)
    return (
        f'<svg viewBox="0 0 {WIDTH} {len(rows) * ROW}" role="img" aria-label="{html.text(said)}" '
        f'font-size="13" fill="var(--ink)">{drawn}</svg>'
    )


def _certificates(state: FederationState) -> str:
    rows = [
        (one.file, _when(one.ends), f"{days:.0f}", "renew it" if days < WARN_DAYS else "–")
        for one in state.certificates
        for days in [days_left(one)]
    ]
    return html.table(("File", "Ends", "Days left", "What to do"), rows)


def _when(iso: str) -> str:
    return iso.replace("T", " ").replace("+00:00", " UTC")


def _news(look: Look) -> str:
    return "\n".join(look.news[-30:]) or "nothing yet"
