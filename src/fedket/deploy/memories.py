"""What a site keeps for a strategy with client memory, by the round in which it learned it.

Whether its update came into the sum, a site is not told in the round itself. So every round begins
with the server naming, for each site, the last round whose sum had its update; the site goes on
from what it kept of that one. What it kept outlives it, in its own folder, and never leaves it.
"""

from pathlib import Path
from typing import Any

from fedket.errors import CheckpointError, ProtocolError
from fedket.federated.checkpoint import load_checkpoint, save_checkpoint
from fedket.federated.federation import FederationState

NAME = "memory-{}.safetensors"
"""A round's file in a site's folder; there are two at most."""


class Memories:
    """The memories of one site in an experiment.

    Args:
        first: What it has before its first round.
        experiment: The experiment's fingerprint.
        folder: Where they are kept; None keeps them in this process alone.
    """

    def __init__(self, first: Any, experiment: str, folder: Path | None) -> None:
        self._first, self._experiment, self._folder = first, experiment, folder
        self._of_round: dict[int, Any] = {}

    def of_round(self, round_num: int) -> Any:
        """What was kept of a round; 0 is before the first.

        Raises:
            ProtocolError: Nothing was, or it is damaged.
        """
        if not round_num:
            return self._first
        if round_num not in self._of_round:
            self._of_round[round_num] = self._load(round_num)
        return self._of_round[round_num]

    def keep(self, used: int, round_num: int, memory: Any) -> None:
        """Keep what a round taught, and for the case that it does not count, what it began with.

        Raises:
            OSError: It cannot be written down.
        """
        self._of_round = {used: self.of_round(used), round_num: memory}
        if self._folder is None:
            return
        path = self._folder / NAME.format(round_num)
        save_checkpoint(path, FederationState(round_num, (), (), memory), self._experiment)
        kept = {path.name, NAME.format(used)}
        for file in self._folder.glob(NAME.format("*")):
            if file.name not in kept:
                file.unlink()

    def _load(self, round_num: int) -> Any:
        template = FederationState(0, (), (), self._first)
        try:
            if self._folder is None:
                raise CheckpointError("the site was started anew")
            path = self._folder / NAME.format(round_num)
            return load_checkpoint(path, template, self._experiment).clients
        except CheckpointError as error:
            raise ProtocolError(
                f"this site's memory of round {round_num}, the last that counted, is gone: {error}"
                "; bring it back, or start a new run"
            ) from None
