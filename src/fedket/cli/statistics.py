"""`fedket statistics`: what all sites have together, before anything is trained."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedket.cli.options import ExperimentFile, JsonOption, SetOption, numbers_in
from fedket.cli.tables import print_pairs, print_table

if TYPE_CHECKING:
    from fedket.statistics.pooled import Statistics

SmallestOption = Annotated[
    int, typer.Option(min=2, help="Counts below this are not told.", metavar="COUNT")
]
RangeOption = Annotated[
    str,
    typer.Option("--range", metavar="LOW,HIGH", help="Agreed range of all values: one round less."),
]
StandardiseOption = Annotated[
    bool,
    typer.Option("--standardise", help="Print a [[transform]] of these means and deviations."),
]
PageOption = Annotated[Path | None, typer.Option("--page", help="Write an HTML page, too.")]


def statistics(
    experiment: ExperimentFile,
    smallest: SmallestOption = 5,
    value_range: RangeOption = "",
    page: PageOption = None,
    standardise: StandardiseOption = False,
    changes: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show counts, classes, means, deviations and quantiles of all clients' samples.

    They are masked sums, simulated here with the experiment's partition; `fedket deploy
    statistics` asks real sites. Before any transform.

    Example: fedket statistics quickstart
    """
    from fedket.cli.options import load_experiment
    from fedket.experiment.data_statistics import simulated_statistics

    bounds = bounds_in(value_range)
    found = simulated_statistics(load_experiment(experiment, changes), bounds, smallest)
    tell(found, page, as_json, standardise)


def bounds_in(text: str) -> tuple[float, float] | None:
    """The range of an option; None if there is none.

    Raises:
        ConfigError: It is not two numbers.
    """
    if not text:
        return None
    pair = numbers_in(text, "--range", "numbers", lambda _: True, example="0,1", most=2)
    return pair[0], pair[-1]


def tell(found: "Statistics", page: Path | None, as_json: bool, standardise: bool) -> None:
    """Print statistics, and write their page if one is wanted."""
    import tomli_w

    from fedket.report.statistics_page import (
        HEADINGS,
        class_rows,
        few,
        note,
        row,
        write_statistics_page,
    )
    from fedket.statistics.pooled import as_values, standardising

    if page is not None:
        write_statistics_page(found, page)
    if standardise:
        typer.echo(tomli_w.dumps({"transform": [standardising(found)]}), nl=False)
        return
    if as_json:
        typer.echo(json.dumps(as_values(found)))
        return
    heads = [("sites", str(found.sites)), ("samples", few(found.samples, found.smallest))]
    print_pairs([*heads, *((f"class {name}", told) for name, told in class_rows(found))])
    typer.echo()
    print_table([row(c, found.smallest) for c in found.columns], HEADINGS, numbers=range(1, 8))
    typer.echo(note(found))
    if page is not None:
        typer.echo(f"page: {page}")
