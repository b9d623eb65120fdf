"""Drawings and tables of key supply: reservoirs, waiting, starvation, cost by phase."""

import numpy as np
from matplotlib.axes import Axes

from fedket.report import html
from fedket.report.drawing import (
    DASHES,
    SERIES,
    EndLabel,
    label_ends,
    round_axis,
    thin,
)
from fedket.report.figures import paint_by_round
from fedket.report.run_record import RunRecord
from fedket.report.wording import decimal_prefix, duration, plural, quantity

MAX_LEVELS = 6
"""Links whose reservoir is drawn: the emptiest ones."""


def emptiest_links(record: RunRecord) -> list[str]:
    """Links by the least key they ever had in store."""
    lowest: dict[str, int] = {}
    for r in record.rounds:
        for link, bits in r.key_levels.items():
            lowest[link] = min(bits, lowest.get(link, bits))
    return sorted(lowest, key=lambda link: (lowest[link], link))


def paint_levels(ax: Axes, record: RunRecord) -> str:
    """Key in store after each round, of the emptiest links."""
    all_links = emptiest_links(record)
    links = all_links[:MAX_LEVELS]
    factor, prefix = decimal_prefix(max(max(r.key_levels.values()) for r in record.rounds))
    rounds = np.arange(1, len(record.rounds) + 1)
    some = thin(len(rounds))
    labels = []
    for i, link in enumerate(links):
        level = np.array([r.key_levels.get(link, 0) for r in record.rounds], dtype=float) / factor
        colour = SERIES[i % len(SERIES)]
        (line,) = ax.plot(rounds[some], level[some], color=colour, label=link)
        line.set_linestyle(DASHES[i % len(DASHES)])
        labels.append(EndLabel(level[-1], link, colour))
    ax.set_ylim(bottom=0)
    round_axis(ax, len(record.rounds))
    ax.set_title(f"key in store after the round, {prefix}bit")
    label_ends(ax, labels)
    which = "" if links == all_links else f"the {len(links)} emptiest of "
    return (
        f"{_simulated(record)}Key of {which}{plural(len(all_links), 'link')}; it comes in blocks."
    )


def paint_waits(ax: Axes, record: RunRecord) -> str:
    """Time each round waited for key."""
    waits = np.array([r.key_wait_s for r in record.rounds])
    paint_by_round(ax, "seconds waited for key", waits, SERIES[4])
    mean = float(waits.mean())
    label_ends(ax, [EndLabel(mean, f"mean {duration(mean)}", SERIES[4])])
    clock = "on the clock of the simulated links" if _simulated(record) else "wall time"
    return f"{_simulated(record)}{duration(float(waits.sum()))} in all, {clock}."


def starvation_section(record: RunRecord) -> str:
    """What rounds gave up for want of key; empty if nothing."""
    given_up = [((r.starvation,), r.round) for r in record.rounds if r.starvation]
    return html.rounds_section("Key starvation", ("Given up for want of key",), given_up)


def phases_section(record: RunRecord) -> str:
    """Cost of the aggregation by phase, summed over rounds; empty if it has none."""
    totals: dict[str, np.ndarray] = {}
    for r in record.rounds:
        for name, *costs in r.phases:
            totals[name] = totals.get(name, 0) + np.array(costs, dtype=float)
    if not totals:
        return ""
    rows = [
        (
            name,
            quantity(int(up), "B"),
            quantity(int(down), "B"),
            quantity(int(pads), "bit"),
            quantity(int(macs), "bit"),
            duration(seconds),
        )
        for name, (up, down, pads, macs, seconds) in totals.items()
    ]
    head = ("Phase", "To the server", "To clients", "Pads set aside", "MAC keys", "Time")
    return html.section("Aggregation by phase, all rounds", html.card(html.table(head, rows)))


def supply_section(record: RunRecord) -> str:
    """Planned rate and need of each simulated link; empty for other sources."""
    feed = record.facts.key_feed
    if not feed:
        return ""
    rows = [
        (
            link.link,
            quantity(int(link.rate_bps), "bit") + "/s",
            quantity(link.bits_per_round, "bit"),
            "never" if link.seconds_per_round is None else duration(link.seconds_per_round),
        )
        for link in feed.links
    ]
    head = ("Link (simulated)", "Planned key rate", "Need per round", "Time to feed a round")
    return html.section("Key supply", html.card(html.table(head, rows)))


def _simulated(record: RunRecord) -> str:
    return "Simulated QKD links. " if record.facts.key_source == "simulated" else ""
