"""The rows of a paper's table: experiment files with a `[paper]` table, in one folder."""

from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import NamedTuple

from fedket.errors import ConfigError
from fedket.experiment.config import ExperimentConfig, PaperConfig
from fedket.experiment.load import load_config
from fedket.experiment.shipped import shipped_experiments


class Row(NamedTuple):
    """One experiment of a paper.

    Attributes:
        paper: Name of the folder.
        name: Name of the file, without `.toml`.
        path: The file.
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
    """The rows of a shipped paper, or of a folder with experiment files.

    Files without a `[paper]` table stand for no published number and are no rows.

    Args:
        paper: Name of a shipped paper, or path of a folder.
        names: Rows wanted, with or without the paper's name before them; none means all.

    Raises:
        ConfigError: No such paper or row, or a file that cannot be read.
    """
    files = _files_of(paper)
    folder = files[0].parent.name
    known = {path.stem: path for path in files}
    wanted = [_known_name(name, folder, list(known)) for name in names] or list(known)
    found = [_read_row(folder, known[name]) for name in dict.fromkeys(wanted)]
    rows = [row for row in found if row is not None]
    if len(rows) < len(found) and (names or not rows):
        which = known[list(dict.fromkeys(wanted))[found.index(None)]]
        raise ConfigError(
            f"{which} has no [paper] table, so it is no row; run it with `fedket run`"
        )
    return rows


def _read_row(paper: str, path: Path) -> Row | None:
    config = load_config(path)
    return None if config.paper is None else Row(paper, path.stem, path, config, config.paper)


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


def _files_of(paper: str) -> list[Path]:
    """Experiment files of a paper, by name; never empty."""
    shipped = [s for s in shipped_experiments() if s.paper]
    files = [s.path for s in shipped if s.paper == paper.rstrip("/")]
    if not files and Path(paper).is_dir():
        files = sorted(Path(paper).resolve().glob("*.toml"))
        if not files:
            raise ConfigError(f"the folder {paper} holds no experiment files (TOML)")
    if not files:
        papers = sorted({s.paper for s in shipped})
        raise ConfigError(f"no paper `{paper}`{_meant(paper, papers)}; known: {', '.join(papers)}")
    return files


def _known_name(name: str, folder: str, known: list[str]) -> str:
    stem = name.removeprefix(f"{folder}/").removesuffix(".toml")
    if stem not in known:
        listed = ", ".join(known)
        raise ConfigError(f"no row `{name}` in {folder}{_meant(stem, known)}; known: {listed}")
    return stem


def _meant(wrong: str, known: list[str]) -> str:
    near = get_close_matches(wrong, known, n=1)
    return f", did you mean `{near[0]}`?" if near else ""
