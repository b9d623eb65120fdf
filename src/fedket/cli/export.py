"""`fedket export`: the plain network of a run, as a file that needs no quantum code."""

import json
from pathlib import Path
from typing import Annotated

import typer

from fedket.cli.options import JsonOption


def export(
    directory: Annotated[Path, typer.Argument(help="A run, not of `vqc` or `hybrid`.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Safetensors file to write.")],
    as_json: JsonOption = False,
) -> None:
    """Write the plain network that a run has trained or generated.

    The file has PyTorch's names and layouts.

    Example: fedket export runs/qfed-central-fast-0-1 -o cnn.safetensors
    """
    from fedket.experiment.export import export_network

    network = export_network(directory, output)
    plan = network.plan
    facts = {"output": str(output), "weights": plan.num_weights, "layers": list(plan.words)}
    shown = f"{output}: {plan.num_weights:,} weights, {', '.join(plan.words)}"
    typer.echo(json.dumps(facts) if as_json else shown)
