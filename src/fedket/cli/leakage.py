"""`fedket leakage`: what a curious server reads out of what it sees."""

import json
from typing import Annotated

import typer

from fedket.cli.options import (
    ExperimentFile,
    JsonOption,
    PlotOption,
    SetOption,
    load_experiment,
    numbers_in,
)
from fedket.cli.tables import print_table

MAX_POINTS, MAX_NUMBER = 20, 1e6


def leakage(
    file: ExperimentFile,
    clients: Annotated[str, typer.Option(metavar="LIST", help="Clients in a sum.")] = "1,2,4,8,16",
    noise: Annotated[
        str, typer.Option(metavar="LIST", help="Noise multipliers on the largest sum.")
    ] = "",
    victims: Annotated[int, typer.Option(min=1, help="Clients that are attacked.")] = 16,
    samples: Annotated[int, typer.Option(min=1, help="Samples of a client.")] = 1,
    steps: Annotated[int, typer.Option(min=1, help="Steps of the attacker's optimiser.")] = 400,
    colluders: Annotated[
        int, typer.Option(min=0, help="Of a noisy sum's clients, how many help the server.")
    ] = 0,
    expected: Annotated[
        int, typer.Option(min=0, help="How many the noise was made for (privacy.colluders).")
    ] = 0,
    overrides: SetOption = None,
    plot: PlotOption = None,
    as_json: JsonOption = False,
) -> None:
    """Attack sums of updates of an experiment's model: which samples are in them?

    Every client takes one step of SGD from the first model. The attacker knows
    model and labels, and sees the sum over some clients, one client's words
    behind a mask (uniform, as one-time pads make them), or a sum with the
    noise of differential privacy, from which colluders subtract their own
    updates and noise. All is simulated.

    Example: fedket leakage quickstart --clients 1,4,16 --noise 0.1,1 --plot leakage.png
    """
    config = load_experiment(file, overrides)
    from fedket.experiment.leakage_study import CANDIDATES, measure_leakage
    from fedket.leakage import Inversion

    sizes = numbers_in(
        clients,
        "--clients",
        "whole numbers above 0",
        lambda value: 0 < value <= MAX_NUMBER and value.is_integer(),
        example="1,4,16",
        most=MAX_POINTS,
    )
    multipliers = []
    if noise:
        multipliers = numbers_in(
            noise,
            "--noise",
            "numbers above 0",
            lambda value: 0 < value <= MAX_NUMBER,
            example="0.1,1",
            most=MAX_POINTS,
        )
    if plot is not None:
        from fedket.report.leakage_plot import plot_leakage
        from fedket.report.rate_plot import check_plot_file

        check_plot_file(plot)
    points = measure_leakage(
        config,
        [int(size) for size in sizes],
        multipliers,
        num_victims=victims,
        samples_each=samples,
        effort=Inversion(steps=steps),
        colluders=colluders,
        expected=expected,
    )
    if plot is not None:
        plot_leakage(points, plot)
    if as_json:
        drawn = {} if plot is None else {"plot": str(plot)}
        typer.echo(json.dumps({"points": [point._asdict() for point in points], **drawn}))
        return
    headings = ["view", "noise", "epsilon", "correlation", "identified", "membership AUC"]
    rows = [
        (
            point.name,
            f"{point.noise_multiplier:g}",
            "-" if point.epsilon is None else f"{point.epsilon:.3g}",
            f"{point.correlation:.2f} ± {point.correlation_se:.2f} "
            f"({point.chance_correlation:.2f})",
            f"{100 * point.identified:.0f} % ({100 * point.chance_identified:.0f} %)",
            f"{point.membership_auc:.2f}",
        )
        for point in points
    ]
    print_table(rows, headings, numbers=range(1, 6))
    typer.echo(
        f"in brackets: random guesses; identified among {CANDIDATES} of a label; AUC 0.5 by chance"
    )
    if plot is not None:
        typer.echo(f"plot: {plot}")
