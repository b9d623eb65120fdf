"""The experiments that come with fedket: `experiments/` of the checkout or of the wheel.

An experiment is named by its file, one of a paper by folder and file: `qfedfisher/mnist-qfedavg`.
"""

import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from fedket.errors import ConfigError


class ShippedExperiment(NamedTuple):
    """A file and its one-line description.

    Attributes:
        name: What the command line calls it: the path below `experiments/`, without `.toml`.
        description: As in the file.
        path: The file.
    """

    name: str
    description: str
    path: Path

    @property
    def paper(self) -> str:
        """Folder of the paper it belongs to; empty if none."""
        return self.name.rpartition("/")[0]


def shipped_experiments() -> list[ShippedExperiment]:
    """All shipped experiments by name, those of no paper first."""
    top = experiments_directory()
    found = []
    for path in top.rglob("*.toml"):
        values = tomllib.loads(path.read_text(encoding="utf-8"))
        name = path.relative_to(top).with_suffix("").as_posix()
        found.append(ShippedExperiment(name, values.get("description", ""), path))
    return sorted(found, key=lambda shipped: (shipped.paper, shipped.name))


def find_experiment(name: Path) -> Path:
    """The file of that name, else that of the shipped experiment; `name` itself if there is none.

    Raises:
        ConfigError: If only a similar name is known.
    """
    if name.is_file():
        return name
    shipped = {experiment.name: experiment.path for experiment in shipped_experiments()}
    wanted = name.as_posix()
    near = _nearest(wanted, list(shipped))
    if wanted not in shipped and near and not name.exists():
        raise ConfigError(f"no experiment `{name}`; did you mean `{near}`?")
    return shipped.get(wanted, name)


def _nearest(wanted: str, names: list[str]) -> str:
    """The name meant, which may have been given without its paper; empty if none is near."""
    last = [name for name in names if name.rpartition("/")[2] == wanted]
    return (last or get_close_matches(wanted, names, n=1) or [""])[0]


def experiments_directory() -> Path:
    """Where the files lie: inside the installed package, or at the top of a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "experiments"
    return installed if installed.is_dir() else package.parents[1] / "experiments"
