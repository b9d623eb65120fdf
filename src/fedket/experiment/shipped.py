"""The experiments that come with fedket: `experiments/` of the checkout or of the wheel."""

import tomllib
from pathlib import Path
from typing import NamedTuple


class ShippedExperiment(NamedTuple):
    """A file and its one-line description."""

    name: str
    description: str
    path: Path


def shipped_experiments() -> list[ShippedExperiment]:
    """All shipped experiments, by name."""
    found = []
    for path in sorted(experiments_directory().glob("*.toml")):
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        found.append(
            ShippedExperiment(values.get("name", path.stem), values.get("description", ""), path)
        )
    return found


def experiments_directory() -> Path:
    """Where the files lie: inside the installed package, or at the top of a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "experiments"
    return installed if installed.is_dir() else package.parents[1] / "experiments"
