"""`fedket qkd`: what simulated QKD links would give."""

import enum
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fedket.cli.options import (
    CommandGroup,
    ExperimentFile,
    JsonOption,
    SetOption,
    load_experiment,
    numbers_in,
)
from fedket.cli.tables import print_table
from fedket.errors import ConfigError

if TYPE_CHECKING:
    from fedket.keys.qkd.rates import Curve, Protocol, RatePoint

app = typer.Typer(
    help="Simulated QKD links: how much key they would give. Models, not measurements.",
    cls=CommandGroup,
)

MAX_POINTS = 1000
MOST_CLIENTS = 1000
"""They have half a million links."""


class ProtocolChoice(enum.StrEnum):
    """Which curves to compute."""

    MDI = "mdi"
    BB84 = "bb84"
    BOTH = "both"


class BoundChoice(enum.StrEnum):
    """Bound on the phase error of the asymptotic MDI rate."""

    JOINT = "joint"
    COIN = "coin"


@app.command()
def rate(
    protocol: Annotated[
        ProtocolChoice,
        typer.Option(help="Four-phase MDI-QKD, decoy-state BB84, or both."),
    ] = ProtocolChoice.MDI,
    loss: Annotated[
        str,
        typer.Option(
            metavar="DB|FROM:TO:STEP", help="Total loss in dB, detectors included; one or a range."
        ),
    ] = "0:40:1",
    finite: Annotated[
        float | None,
        typer.Option(metavar="PULSES", help="Pulses per block, e.g. 1e11; without: asymptotic."),
    ] = None,
    clock_hz: Annotated[float, typer.Option(help="Pulses per second; an assumption.")] = 1e8,
    bound: Annotated[
        BoundChoice, typer.Option(help="Bound on the phase error of the asymptotic MDI rate.")
    ] = BoundChoice.JOINT,
    plot: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Draw the curves: .svg, .png or .pdf.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Print key rate against loss, each point at its best intensities and basis probability.

    Example: fedket qkd rate --protocol both --loss 0:40:1 --finite 1e11 --plot rate.svg
    """
    from fedket.keys.qkd.rates import rate_curve

    losses = _losses(loss)
    if plot is not None:
        from fedket.report.rate_plot import check_plot_file, plot_rates

        check_plot_file(plot)
    both: tuple[Protocol, ...] = ("mdi", "bb84")
    wanted = [p for p in both if protocol in (p, ProtocolChoice.BOTH)]
    curves = [
        rate_curve(p, losses, pulses=finite, clock_hz=clock_hz, bound=bound.value) for p in wanted
    ]
    if plot is not None:
        plot_rates(curves, clock_hz, plot)
    if as_json:
        typer.echo(json.dumps(_as_dict(curves, clock_hz, plot)))
        return
    for curve in curves:
        _print_curve(curve, clock_hz)
    if plot is not None:
        typer.echo(f"plot: {plot}")


@app.command()
def rounds(
    file: ExperimentFile,
    clients: Annotated[
        str, typer.Option(metavar="LIST", help="Clients of a round.")
    ] = "5,10,20,50,100,200",
    overrides: SetOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print how long simulated links take to make a round's key, by how many clients take part.

    Pads of pairs and the clients' MAC keys; all clients take part. Key comes in blocks, at the
    rate that is left of finite blocks. `keys.relay_mux = 0` lets one relay serve all pairs in turn.

    Example: fedket qkd rounds qunetqfl/paced-lenet5 --clients 5,50 --set keys.relay_mux=0
    """
    from fedket.experiment.key_times import key_times
    from fedket.report.wording import duration

    numbers = numbers_in(
        clients,
        "--clients",
        f"whole numbers from 2 to {MOST_CLIENTS}",
        lambda value: 2 <= value <= MOST_CLIENTS and value.is_integer(),
        example="5,50,200",
        most=20,
    )
    config = load_experiment(file, overrides)
    points = key_times(config, [int(number) for number in numbers])
    if as_json:
        listed = [point._asdict() for point in points]
        typer.echo(json.dumps({"simulated": True, "experiment": config.name, "points": listed}))
        return
    rows = [
        (
            f"{point.clients}",
            f"{point.pairs:,}",
            f"{point.bits_per_pair / 1000:,.4g}",
            f"{point.rate_bps:,.4g}",
            *(
                "never" if seconds is None else duration(seconds)
                for seconds in (point.seconds_per_round, point.first_key_s)
            ),
        )
        for point in points
    ]
    headings = ("clients", "pairs", "kbit each", "bit/s", "a round's key", "first key after")
    print_table(rows, headings, numbers=range(len(headings)))
    typer.echo("simulated links; all clients take part; bit/s of the slowest link")


def _losses(text: str) -> list[float]:
    """Read `20`, `0:40` or `0:40:1`, the end included."""
    try:
        numbers = [float(part) for part in text.split(":")]
        if len(numbers) == 1:
            numbers *= 2
        start, stop, step = numbers if len(numbers) == 3 else (*numbers, 1.0)
    except ValueError:
        raise ConfigError(f"a loss is DB or FROM:TO:STEP in dB, got `{text}`") from None
    if not (0 <= start <= stop < 1000 and step > 0 and (stop - start) / step < MAX_POINTS):
        raise ConfigError(
            f"losses run upwards from 0 dB or more in steps above 0 dB, {MAX_POINTS} at most; "
            f"got `{text}`"
        )
    return [start + i * step for i in range(int((stop - start) / step + 1e-9) + 1)]


def _as_dict(curves: Sequence["Curve"], clock_hz: float, plot: Path | None) -> dict[str, object]:
    listed = [
        {**curve._asdict(), "points": [point._asdict() for point in curve.points]}
        for curve in curves
    ]
    place = {} if plot is None else {"plot": str(plot)}
    return {"simulated": True, "clock_hz": clock_hz, "curves": listed, **place}


def _print_curve(curve: "Curve", clock_hz: float) -> None:
    name = {"mdi": "four-phase MDI-QKD, relay in the middle", "bb84": "decoy-state BB84"}
    block = "asymptotic" if curve.pulses is None else f"blocks of {curve.pulses:g} pulses"
    clock = f"{clock_hz / 1e6:g} MHz"
    heading = f"{name[curve.protocol]}, {block}, {clock}, {curve.bound} bound (simulated)"
    typer.echo(heading.replace("e+", "e"))
    headings = ("loss dB", "bit/s", "QBER %", "phase %", "mu", "p_key")
    print_table(map(_row, curve.points), headings, numbers=range(len(headings)))
    typer.echo()


def _row(point: "RatePoint") -> tuple[str, ...]:
    loss = f"{point.loss_db:.4g}"
    if point.error is None or point.phase_error is None or point.mu is None:
        return (loss, "no key")
    errors = (f"{100 * point.error:.2f}", f"{100 * point.phase_error:.2f}")
    return (loss, f"{point.rate_bps:,.1f}", *errors, f"{point.mu:.3g}", f"{point.p_key:.3f}")
