"""Arguments and options that several commands take, and the class of their groups."""

import enum
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from fedket.errors import ConfigError


def begin_with(incomplete: str) -> list[str]:
    """Shipped experiments that a shell offers; where there is none, it offers files."""
    from fedket.experiment.shipped import shipped_experiments

    return [s.name for s in shipped_experiments() if s.name.startswith(incomplete)]


_FILE = typer.Argument(
    help="Experiment file (TOML), or the name of a shipped experiment.", autocompletion=begin_with
)
ExperimentFile = Annotated[Path, _FILE]
OptionalFile = Annotated[Path | None, _FILE]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="TABLE.KEY=VALUE", help="Change one value; repeat for more."),
]
FastOption = Annotated[
    bool, typer.Option("--fast", help="Take the fast profile of the file: minutes, not the result.")
]
JobsOption = Annotated[
    int, typer.Option(min=0, max=1024, help="Runs at a time, a core for each; 0: one per core.")
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Show the runs and how long they take; run none.")
]
PlotOption = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE", help="Draw it: .svg, .png or .pdf.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


class WhichModel(enum.StrEnum):
    """Which of a run's models."""

    LAST = "last"
    BEST = "best"
    AVERAGED = "averaged"


WhichOption = Annotated[
    WhichModel,
    typer.Option(
        help="The last model, the best on the validation split, or the average of models."
    ),
]


class CommandGroup(TyperGroup):
    """Commands that show their help when none of them is named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Ask for help where nothing was asked."""
        return super().parse_args(ctx, args or ["--help"])


def numbers_in(
    text: str,
    option: str,
    what: str,
    allowed: Callable[[float], bool],
    *,
    example: str,
    most: int,
) -> list[float]:
    """The numbers of an option such as `0,0.5,1`.

    Args:
        text: What was given.
        option: For whom.
        what: Which numbers it takes, in words.
        allowed: Whether it takes one.
        example: Some that it takes.
        most: How many, at most.

    Raises:
        ConfigError: It does not take them.
    """
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not 0 < len(found) <= most or not all(map(allowed, found)):
        raise ConfigError(
            f"{option} takes 1 to {most} {what}, such as {example}; got `{text[:80]}`"
        )
    return found


def load_experiment(file: Path, overrides: list[str] | None, fast: bool = False) -> Any:
    """Read an experiment file, or a shipped experiment by its name."""
    from fedket.experiment.load import load_config
    from fedket.experiment.shipped import find_experiment

    return load_config(find_experiment(file), overrides or [], fast=fast)
