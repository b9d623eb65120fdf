"""The experiments that come with fedket: `experiments/` of the checkout or of the wheel.

An experiment is named by its file, or by its row in a file of several; one of a paper by folder
and file or row: `qfedfisher/mnist-qfedavg`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from fedket.errors import ConfigError, meant
from fedket.experiment.rows import choose_row, rows_of, split_row
from fedket.schema import read_toml


class ShippedExperiment(NamedTuple):
    """One experiment of a folder of files, and its one-line description.

    Attributes:
        name: What the command line calls it: folder below `experiments/`, and row or file.
        description: As in the file; without, what its table calls it.
        path: The file, `FILE.toml:ROW` for a row.
    """

    name: str
    description: str
    path: Path

    @property
    def paper(self) -> str:
        """Folder of the paper it belongs to; empty if none."""
        return self.name.rpartition("/")[0]


def shipped_experiments() -> list[ShippedExperiment]:
    """All shipped experiments, those of no paper first; by paper and file, rows as they stand."""
    top = experiments_directory()
    files = sorted(top.rglob("*.toml"), key=lambda file: (file.parent != top, file))
    return [
        experiment._replace(name=(file.parent.relative_to(top) / experiment.name).as_posix())
        for file in files
        for experiment in experiments_in(file)
    ]


def experiments_in(file: Path) -> list[ShippedExperiment]:
    """The experiments of a file (see `read_toml`): its rows, else one that is called by it."""
    values = read_toml(file, "experiment file")
    rows = {name: choose_row(values, file, name) for name in rows_of(values, str(file))}
    return [
        ShippedExperiment(name, _words(row), Path(f"{file}:{name}")) for name, row in rows.items()
    ] or [ShippedExperiment(file.stem, _words(values), file)]


def _words(values: Mapping[str, Any]) -> str:
    paper = values.get("paper")
    title = paper.get("row", "") if isinstance(paper, dict) else ""
    return str(values.get("description", "") or title)


def find_experiment(name: Path) -> Path:
    """The file of that name, else that of the shipped experiment; `name` itself if there is none.

    Raises:
        ConfigError: If only a similar name is known.
    """
    if split_row(name)[0].is_file():
        return name
    shipped = {experiment.name: experiment.path for experiment in shipped_experiments()}
    wanted = name.as_posix()
    if wanted not in shipped and not name.exists():
        # The name meant may have been given without its paper.
        last = [known for known in shipped if known.rpartition("/")[2] == wanted]
        if near := meant(last[0] if last else wanted, shipped):
            raise ConfigError(f"no experiment `{name}`{near}")
    return shipped.get(wanted, name)


def experiments_directory() -> Path:
    """Where the files lie: inside the installed package, or at the top of a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "experiments"
    return installed if installed.is_dir() else package.parents[1] / "experiments"
