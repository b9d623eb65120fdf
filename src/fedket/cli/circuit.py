"""`fedket draw` and `fedket plateau`: what can be said about a circuit before it is trained."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from fedket.cli.options import JsonOption, PlotOption, numbers_in
from fedket.cli.tables import print_table
from fedket.errors import ConfigError

if TYPE_CHECKING:
    from fedket.quantum.plateau import GradientVariance, Slope

MAX_SIZES = 24
"""Numbers of qubits or of layers in one command."""


class PlateauPoint(NamedTuple):
    """One row of `fedket plateau`: the variance of one angle's derivative, or the mean of all."""

    qubits: int
    layers: int
    variance: float
    standard_error: float


def plateau(
    name: Annotated[
        str, typer.Argument(metavar="CIRCUIT", help="Its name, or FILE.py:FUNCTION of your own.")
    ],
    qubits: Annotated[str, typer.Option(metavar="LIST", help="Numbers of qubits.")] = "2,4,6,8",
    layers: Annotated[str, typer.Option(metavar="LIST", help="Numbers of layers.")] = "2,10",
    observable: Annotated[
        str, typer.Option(metavar="PAULIS", help="What is measured; Z* is Z on every qubit.")
    ] = "Z0 Z1",
    draws: Annotated[int, typer.Option(min=2, help="Draws of all angles.")] = 300,
    angle: Annotated[
        str, typer.Option(metavar="LAYER,SLOT", help="One angle, from 0,0 on; without: all.")
    ] = "",
    start: Annotated[
        str, typer.Option(metavar="HOW", help="Draw angles uniform, small or layerwise.")
    ] = "uniform",
    seed: Annotated[int, typer.Option(min=0, help="Decides the draws.")] = 0,
    float64: Annotated[bool, typer.Option("--float64", help="Simulate in double.")] = False,
    plot: PlotOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print the variance of a circuit's gradients against qubits and layers.

    The input is |0...0>. Angles are uniform in [-pi, pi), small (normal, standard
    deviation 0.1), or layerwise (uniform in the first layer, 0 in the others). On
    a barren plateau the variance falls exponentially with qubits: a straight line
    of its logarithm.

    Example: fedket plateau qfedfisher --qubits 4,6,8 --layers 2,40 --plot plateau.png
    """
    from fedket.quantum.plateau import STARTS, gradient_variance

    if start not in STARTS:
        raise ConfigError(f"--start takes {', '.join(STARTS)}; got `{start[:80]}`")
    sizes, depths = _numbers(qubits, "--qubits", 24), _numbers(layers, "--layers", 10_000)
    place = _place(angle)
    if plot is not None:
        from fedket.report.rate_plot import check_plot_file

        check_plot_file(plot)
    points = []
    for depth in depths:
        for size in sizes:
            circuit = _circuit(name, size, depth)
            found = gradient_variance(
                circuit,
                observable,
                draws=draws,
                seed=seed,
                start=STARTS[STARTS.index(start)],
                dtype="float64" if float64 else "float32",
            )
            points.append(PlateauPoint(size, depth, *_pick(found, place)))
    slopes = {depth: _slope(points, depth) for depth in depths}
    if plot is not None:
        from fedket.report.plateau_plot import plot_plateau

        title = f"{name}, {observable}, {draws:,} draws of {start} angles"
        plot_plateau([(p.qubits, p.layers, *p[2:]) for p in points], title, plot)
    if as_json:
        given = {"circuit": name, "observable": observable, "draws": draws, "start": start}
        typer.echo(json.dumps(given | _as_dict(points, slopes, plot)))
        return
    _print(points, slopes)
    if plot is not None:
        typer.echo(f"plot: {plot}")


def draw(
    name: Annotated[
        str, typer.Argument(metavar="CIRCUIT", help="Its name, or FILE.py:FUNCTION of your own.")
    ],
    qubits: Annotated[int, typer.Option(min=1, max=64, help="Number of qubits.")] = 4,
    layers: Annotated[int, typer.Option(min=1, help="Number of layers.")] = 1,
    plot: PlotOption = None,
) -> None:
    """Draw a circuit's layer as text, or as a figure.

    `fedket show` draws the circuit of an experiment.

    Example: fedket draw chen_yoo --plot chen_yoo.svg
    """
    from fedket.quantum.draw import draw_circuit

    if plot is not None:
        from fedket.report.rate_plot import check_plot_file

        check_plot_file(plot)
    circuit = _circuit(name, qubits, layers)
    typer.echo(draw_circuit(circuit))
    typer.echo(f"angles: {circuit.num_slots} in a layer, {circuit.num_params} in all")
    if plot is not None:
        from fedket.report.circuit_plot import plot_circuit

        plot_circuit(circuit, plot)
        typer.echo(f"plot: {plot}")


def _numbers(text: str, option: str, largest: int) -> list[int]:
    found = numbers_in(
        text,
        option,
        f"whole numbers from 1 to {largest}",
        lambda value: 1 <= value <= largest and value.is_integer(),
        example="2,4,6",
        most=MAX_SIZES,
    )
    return list(dict.fromkeys(map(int, found)))


def _place(text: str) -> tuple[int, int] | None:
    """The layer and slot of an angle."""
    if not text:
        return None
    parts = text.split(",")
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() for part in parts):
        raise ConfigError(f"--angle takes a layer and a slot, such as 0,0; got `{text[:80]}`")
    return int(parts[0]), int(parts[1])


def _circuit(name: str, num_qubits: int, num_layers: int) -> Any:
    from fedket.quantum.circuit import Circuit
    from fedket.section import named_function

    made = named_function("circuit", name).function(num_qubits, num_layers)
    if not isinstance(made, Circuit):
        raise ConfigError(f"circuit `{name}` returned a {type(made).__name__}, not a Circuit")
    return made


def _pick(found: "GradientVariance", place: tuple[int, int] | None) -> tuple[float, float]:
    if place is None:
        return found.mean, found.mean_error
    layers, slots = found.angles.shape
    if place[0] >= layers or place[1] >= slots:
        raise ConfigError(
            f"--angle {place[0]},{place[1]}: there are {layers} layers of {slots} angles; "
            "counting starts at 0"
        )
    return float(found.angles[place]), float(found.angle_errors[place])


def _slope(points: list[PlateauPoint], depth: int) -> "Slope | None":
    from fedket.quantum.plateau import fit_slope

    kept = [point for point in points if point.layers == depth]
    return fit_slope(*zip(*((p.qubits, p.variance, p.standard_error) for p in kept), strict=True))


def _as_dict(
    points: list[PlateauPoint], slopes: dict[int, "Slope | None"], plot: Path | None
) -> dict[str, Any]:
    fitted = [
        {"layers": depth, "slope": slope.value, "standard_error": slope.standard_error}
        for depth, slope in slopes.items()
        if slope is not None
    ]
    drawn = {} if plot is None else {"plot": str(plot)}
    return {"points": [point._asdict() for point in points], "slopes": fitted, **drawn}


def _print(points: list[PlateauPoint], slopes: dict[int, "Slope | None"]) -> None:
    rows = [
        (str(p.layers), str(p.qubits), f"{p.variance:.3g}", f"{p.standard_error:.1g}")
        for p in points
    ]
    print_table(rows, ["layers", "qubits", "variance", "standard error"], numbers=range(4))
    for depth, slope in slopes.items():
        if slope is not None:
            typer.echo(
                f"{depth} layers: slope of ln Var per qubit {slope.value:.3f} "
                f"± {slope.standard_error:.2g}"
            )
