"""The sum of a round is opened for one group of sites only, also when the server dies in between.

Sites that train a round again come to the same updates. Had a first attempt opened the sum of sites
1, 2 and 3, and a later one that of 1 and 2, or that of all three with other weights, then the two
would show single updates. So the group goes to disk before its sum can be opened, and every later
attempt at the round, after a crash, from an older checkpoint or in another run of the experiment,
either has the same group, which says nothing new, or is lost.

This is for a server that follows the protocol and happens to die. What one that lies can do is in
docs/security.md.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedket.errors import CheckpointError, RoundLostError
from fedket.files import append_line, write_atomic
from fedket.secure.phases import Phase, Result, Server, integers, mapped
from fedket.types import RoundContext

OPENED = "opened.jsonl"
"""Name of the file of `OpenedSums`."""


class OpenedSums:
    """The rounds of an experiment whose sums may have been opened, and their groups; in a file.

    Args:
        file: Outlives runs and servers: a line of JSON per round, of other experiments too.
        experiment: Fingerprint.

    Raises:
        CheckpointError: The file is damaged.
    """

    def __init__(self, file: Path, experiment: str) -> None:
        self._file, self._experiment = file, experiment
        self._of_round: dict[int, dict[str, Any]] = {}
        text = file.read_text(encoding="utf-8") if file.exists() else ""
        whole, _, torn = text.rpartition("\n")
        if torn:  # a server died here, before it opened anything
            write_atomic(file, whole + "\n" if whole else "")
        for line in whole.splitlines():
            try:
                entry = json.loads(line)
                if entry["experiment"] == experiment:
                    self._of_round[entry["round"]] = entry
            except (ValueError, TypeError, KeyError):
                raise CheckpointError(
                    f"{file} is damaged at {line[:40]!r}; it says whose sums were opened: bring "
                    "back the newest copy, or change the experiment's seed and begin anew"
                ) from None

    def admit(self, context: RoundContext, group: tuple[int, ...]) -> None:
        """Write down whose sum may be open from now on.

        Raises:
            RoundLostError: The sum of another group, or with other weights, may have been opened.
            OSError: It cannot be written down.
        """
        cohort, round_num = list(context.client_ids), context.round_num
        now = {
            "experiment": self._experiment,
            "round": round_num,
            "cohort": cohort,
            "weights": list(context.weights),
            "group": list(group),
        }
        then = self.of_round(round_num)
        if then is None:
            self.note(now)
        elif then != now:
            raise RoundLostError(
                f"round {round_num} of this experiment was held before, and the sum of sites "
                f"{then['group']} of {then['cohort']} may have been opened; now its sites are "
                f"{list(group)} of {cohort}, and the difference of two sums would show single "
                "updates; a run from the start needs another seed",
                {},
            )

    def of_round(self, round_num: int) -> Mapping[str, Any] | None:
        """Return what was noted of a round."""
        return self._of_round.get(round_num)

    def note(self, entry: dict[str, Any]) -> None:
        """Write down a round, for good.

        Args:
            entry: JSON values by name; `experiment` and `round` among them.

        Raises:
            OSError: It cannot be written down.
        """
        append_line(self._file, json.dumps(entry))
        self._of_round[entry["round"]] = entry


def guard_differencing(
    server: Server[Result], opens: Mapping[str, str], context: RoundContext, opened: OpenedSums
) -> Server[Result]:
    """Return the same protocol, which ends where it would open a second group of a round.

    Args:
        server: A protocol as it is before authentication, so that it can still send its abort.
        opens: Action that leads to an open sum -> field of the request with whose sum it is.
        context: The round; its clients are the sites that were asked.
        opened: Where groups are remembered.

    Raises:
        RoundLostError: An earlier attempt may have opened the sum of another group.
        OSError: The group cannot be written down; its sum is not opened then.
    """

    def guard(phase: Phase) -> Phase:
        field = opens.get(phase.action, "")
        if field in phase.payload:
            opened.admit(context, integers(phase.payload, field))
        return phase

    return mapped(server, guard)
