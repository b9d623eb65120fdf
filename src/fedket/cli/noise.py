"""`fedket noise`: what noise does to a trained model."""

import json
from pathlib import Path
from typing import Annotated

import typer

from fedket.cli.options import CommandGroup, JsonOption, PlotOption, SetOption, numbers_in
from fedket.cli.tables import print_table

app = typer.Typer(help="What noise on its circuit does to a trained model.", cls=CommandGroup)

MAX_STRENGTHS = 50


@app.callback()
def _group() -> None:
    """A group of one command so far."""


@app.command()
def compare(
    directory: Annotated[Path, typer.Argument(help="A run of a quantum model.")],
    strengths: Annotated[
        str, typer.Option(metavar="LIST", help="Multiples of the noise; 0 is none.")
    ] = "0,0.5,1,2,4",
    overrides: SetOption = None,
    plot: PlotOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print accuracy and gradient of a run's model against the strength of its noise.

    A run without noise takes some with --set. Up to 8 qubits noise is exact,
    and beside it stand random Pauli errors if these are all of the noise.

    Example: fedket noise compare runs/tiny --set noise={two_qubit=0.01} --plot noise.png
    """
    from fedket.experiment.noise_study import compare_noise

    wanted = numbers_in(
        strengths,
        "--strengths",
        "numbers from 0 on",
        lambda value: 0 <= value <= 1e6,
        example="0,0.5,1,2",
        most=MAX_STRENGTHS,
    )
    if plot is not None:
        from fedket.report.noise_plot import plot_noise
        from fedket.report.rate_plot import check_plot_file

        check_plot_file(plot)
    points = compare_noise(directory, wanted, overrides or [])
    if plot is not None:
        plot_noise(points, plot)
    if as_json:
        drawn = {} if plot is None else {"plot": str(plot)}
        typer.echo(json.dumps({"points": [point._asdict() for point in points], **drawn}))
        return
    headings = ["method", "strength", "accuracy", "loss", "gradient", "cosine to exact"]
    rows = [
        (
            point.method,
            f"{point.strength:g}",
            f"{100 * point.test_accuracy:.1f} %",
            f"{point.test_loss:.4f}",
            f"{point.gradient_norm:.3g}",
            f"{point.cosine:.3f}",
        )
        for point in points
    ]
    print_table(rows, headings, numbers=range(1, 6))
    if plot is not None:
        typer.echo(f"plot: {plot}")
