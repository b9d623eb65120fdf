"""The rows of a paper's table: experiments with a `[paper]` table, in the files of one folder."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from fedket.errors import ConfigError
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
    """How much of an experiment is run.

    Attributes:
        name: `full`, `fast`, or `rounds-N`; names folders and files, so that profiles never mix.
        fast: Whether the file's fast profile is taken.
        rounds: Rounds at most; 0 leaves them as the file says.
    """

    name: str
    fast: bool = False
    rounds: int = 0


FULL, FAST = Profile("full"), Profile("fast", fast=True)


def first_rounds(rounds: int) -> Profile:
    """The full experiment, stopped after some rounds."""
    return Profile(f"rounds-{rounds}", rounds=rounds)


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
    found = {name: _read_row(folder, name, known[name]) for name in wanted}
    rows = [row for row in found.values() if row is not None]
    if len(rows) < len(found) and (names or not rows):
        which = known[next(name for name, row in found.items() if row is None)]
        raise ConfigError(
            f"{which} has no [paper] table, so it is not a row; run it with `fedket run`"
        )
    return rows


def _read_row(paper: str, name: str, path: Path) -> Row | None:
    config = load_config(path)
    return None if config.paper is None else Row(paper, name, path, config, config.paper)


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
        raise ConfigError(f"no paper `{paper}`{_meant(paper, papers)}; known: {', '.join(papers)}")
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
        raise ConfigError(f"no row `{name}` in {folder}{_meant(stem, known)}; known: {listed}")
    return stem


def _meant(wrong: str, known: list[str]) -> str:
    near = get_close_matches(wrong, known, n=1)
    return f", did you mean `{near[0]}`?" if near else ""
