"""`fedket export`: the plain network of a run, as a file that needs no quantum code."""

import json
from pathlib import Path
from typing import Annotated

import typer

from fedket.cli.options import JsonOption


def export(
    directory: Annotated[Path, typer.Argument(help="Run of a `quantum_train` or `cnn` model.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Safetensors file to write.")],
    as_json: JsonOption = False,
) -> None:
    """Write the plain network that a run has trained or generated.

    The file has PyTorch's names and layouts.

    Example: fedket export runs/qfed-central-fast-0-1 -o cnn.safetensors
    """
    from fedket.experiment.export import export_network

    network = export_network(directory, output)
    facts = {"output": str(output), "weights": network.target.num_weights}
    facts |= {"layers": list(network.layers)}
    shown = f"{output}: {network.target.num_weights:,} weights, {', '.join(network.layers)}"
    typer.echo(json.dumps(facts) if as_json else shown)
