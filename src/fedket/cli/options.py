"""Arguments and options that several commands take, and the class of their groups."""

from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

FILE_HELP = "Experiment file (TOML), or the name of a shipped experiment."
ExperimentFile = Annotated[Path, typer.Argument(help=FILE_HELP)]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="TABLE.KEY=VALUE", help="Change one value; repeat for more."),
]
FastOption = Annotated[
    bool, typer.Option("--fast", help="Take the fast profile of the file: minutes, not the result.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


class CommandGroup(TyperGroup):
    """Commands that show their help when none of them is named."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Ask for help where nothing was asked."""
        return super().parse_args(ctx, args or ["--help"])


def load_experiment(file: Path, overrides: list[str] | None, fast: bool = False) -> Any:
    """Read an experiment file, or a shipped experiment by its name."""
    from fedket.experiment.load import load_config
    from fedket.experiment.shipped import find_experiment

    return load_config(find_experiment(file), overrides or [], fast=fast)
