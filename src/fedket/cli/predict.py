"""`fedket predict`: the trained model of a run on new samples."""

import csv
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TextIO

import typer

from fedket.cli.options import JsonOption, WhichModel, WhichOption

if TYPE_CHECKING:
    from fedket.data.unlabelled import Unlabelled
    from fedket.experiment.predictor import Predictor


def predict(
    directory: Annotated[Path, typer.Argument(help="A run.")],
    file: Annotated[
        Path,
        typer.Argument(help="Samples: .npz, .npy, .csv, .parquet, an image, a folder of images."),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="CSV to write instead of printing it.")
    ] = None,
    which: WhichOption = WhichModel.LAST,
    as_json: JsonOption = False,
) -> None:
    """Classify new samples with what a run has trained; the run's transforms come first.

    Samples are as the run's data set stores them: integers are scaled, images
    resized as there. A row of the CSV: the sample, its class, and the
    probability of each class; of a regression, the sample and its value.

    Example: fedket predict runs/quickstart-0-1 new.npz --output classes.csv
    """
    from fedket.data.columns import TABLES
    from fedket.data.source_kinds import TableConfig
    from fedket.data.unlabelled import Unlabelled, read_samples
    from fedket.experiment.predictor import load

    predictor = load(directory, which.value)
    data = predictor.config.data
    if isinstance(data, TableConfig) and file.suffix.lower() in TABLES:
        x = data.read_rows(file)
        samples = Unlabelled(x, tuple(map(str, range(len(x)))))
    else:
        samples = read_samples(file, getattr(data, "image_side", 0))
    rows = _rows(predictor, samples)
    if output is not None:
        with output.open("w", newline="", encoding="utf-8") as place:
            _write(place, rows)
        told = {"output": str(output), "samples": len(rows)}
        typer.echo(json.dumps(told) if as_json else f"{output}: {len(rows):,} samples")
    elif as_json:
        typer.echo(json.dumps(rows))
    else:
        _write(sys.stdout, rows)


def _rows(predictor: "Predictor", samples: "Unlabelled") -> list[dict[str, Any]]:
    if predictor.units is not None:
        values = predictor.predict(samples.x).tolist()
        return [{"sample": n, "value": v} for n, v in zip(samples.names, values, strict=True)]
    words = predictor.classes
    return [
        {"sample": name, "class": words[row.argmax()]}
        | {f"p({word})": round(float(p), 6) for word, p in zip(words, row, strict=True)}
        for name, row in zip(samples.names, predictor.predict_proba(samples.x), strict=True)
    ]


def _write(place: TextIO, rows: list[dict[str, Any]]) -> None:
    writer = csv.DictWriter(place, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
