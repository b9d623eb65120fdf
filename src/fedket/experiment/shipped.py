"""The experiments that come with fedket: `experiments/` of the checkout or of the wheel."""

import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from fedket.errors import ConfigError


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


def find_experiment(name: Path) -> Path:
    """The file of that name, else that of the shipped experiment; `name` itself if there is none.

    Raises:
        ConfigError: If only a similar name is known.
    """
    if name.is_file() or name.parent != Path():
        return name
    shipped = {experiment.path.stem: experiment.path for experiment in shipped_experiments()}
    near = get_close_matches(name.name, shipped, n=1)
    if name.name not in shipped and near and not name.exists():
        raise ConfigError(f"no experiment `{name}`; did you mean `{near[0]}`?")
    return shipped.get(name.name, name)


def experiments_directory() -> Path:
    """Where the files lie: inside the installed package, or at the top of a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "experiments"
    return installed if installed.is_dir() else package.parents[1] / "experiments"
