"""The rows of a paper's table: experiments with a `[paper]` table, in the files of one folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from fedket.errors import ConfigError, meant
from fedket.experiment.config import ExperimentConfig, PaperConfig
from fedket.experiment.load import load_config
from fedket.experiment.shipped import experiments_in, shipped_experiments


class Row(NamedTuple):
    """One experiment of a paper.

    Attributes:
        paper: Name of the folder.
        name: What it is called in its file, or the file's name without `.toml`.
        path: The file, `FILE.toml:ROW` for one of several.
        config: Its full profile, with the file's own seed.
        published: Its `[paper]` table.
    """

    paper: str
    name: str
    path: Path
    config: ExperimentConfig
    published: PaperConfig


class Profile(NamedTuple):
    """How much of an experiment is run: by default all of it.

    Attributes:
        fast: Whether the file's fast profile is taken.
        rounds: Rounds at most; 0 leaves them as the file says.
    """

    fast: bool = False
    rounds: int = 0

    @property
    def name(self) -> str:
        """Names folders and files, so that profiles never mix."""
        return "fast" if self.fast else f"rounds-{self.rounds}" if self.rounds else "full"


def find_rows(paper: str, names: Sequence[str] = ()) -> list[Row]:
    """The rows of a shipped paper, or of a folder with experiment files, or of one such file.

    Experiments without a `[paper]` table stand for no published number and are not rows.

    Args:
        paper: Name of a shipped paper, or path of a folder or file.
        names: Rows wanted, with or without the paper's name before them; none means all.

    Raises:
        ConfigError: No such paper or row, two of one name, or a file that cannot be read.
    """
    folder, known = _experiments_of(paper)
    wanted = [_known_name(name, folder, list(known)) for name in names] or list(known)
    configs = {name: load_config(known[name]) for name in wanted}
    unpublished = [name for name, config in configs.items() if config.paper is None]
    if unpublished and (names or len(unpublished) == len(configs)):
        raise ConfigError(
            f"{known[unpublished[0]]} has no [paper] table, so it is not a row; run it with "
            "`fedket run`"
        )
    return [
        Row(folder, name, known[name], config, config.paper)
        for name, config in configs.items()
        if config.paper is not None
    ]


def config_for(row: Row, profile: Profile, seed: int) -> ExperimentConfig:
    """The configuration of one run.

    Raises:
        ConfigError: If the row has no such profile.
    """
    overrides = [f"seed={seed}"]
    if profile.rounds:
        rounds = min(profile.rounds, row.config.federation.rounds)
        overrides.append(f"federation.rounds={rounds}")
    return load_config(row.path, overrides, fast=profile.fast)


def _experiments_of(paper: str) -> tuple[str, dict[str, Path]]:
    """Name of a paper, and where each of its experiments is; never empty."""
    shipped = [s for s in shipped_experiments() if s.paper]
    place, papers = Path(paper), sorted({s.paper for s in shipped})
    if paper.rstrip("/") in papers:
        name, found = paper.rstrip("/"), [s for s in shipped if s.paper == paper.rstrip("/")]
    elif place.is_file():
        name, found = place.stem, experiments_in(place)
    elif place.is_dir():
        files = sorted(place.glob("*.toml"))
        name, found = place.resolve().name, [e for file in files for e in experiments_in(file)]
    else:
        raise ConfigError(f"no paper `{paper}`{meant(paper, papers)} (known: {', '.join(papers)})")
    if not found:
        raise ConfigError(f"the folder {paper} holds no experiment files (TOML)")
    known: dict[str, Path] = {}
    for row, path in ((s.name.rpartition("/")[2], s.path) for s in found):
        if row in known:
            raise ConfigError(f"two rows are called `{row}`: {known[row]} and {path}; rename one")
        known[row] = path
    return name, known


def _known_name(name: str, folder: str, known: list[str]) -> str:
    stem = name.removeprefix(f"{folder}/").removesuffix(".toml")
    if stem not in known:
        listed = ", ".join(known)
        raise ConfigError(f"no row `{name}` in {folder}{meant(stem, known)} (known: {listed})")
    return stem
