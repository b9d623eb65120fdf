"""Tables over the rounds of a run: what happened, how often, and in which rounds."""

from collections import defaultdict
from collections.abc import Iterable, Sequence

from fedket.report import html
from fedket.report.wording import count, number_ranges, plural, shorten

MAX_ROWS = 50


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
    body = html.table((head[0], "Rounds", "Which", *head[1:]), rows)
    left_out = len(most_first) - len(rows)
    if left_out:
        body += f"\n<p>{plural(left_out, 'more row')} in rounds.jsonl.</p>"
    return html.section(title, html.card(body))
