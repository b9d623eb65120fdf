"""A site's durable memory of its updates: to which group it gave the one of which round.

Two sums over different groups of one round show single updates, whatever the protocol. An honest
server sees to that itself (`fedket.secure.differencing_guard`); a site does not rely on it. Its
memory belongs to the experiment's fingerprint, not to a session or a run: it goes to disk before
anything leaves the site that opens a sum, and outlives the site, the server and its run directory.
The same round with the same model, cohort and group is no second sum, and allowed: so a round that
was cut off can be held again.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fedket.errors import ProtocolError
from fedket.secure.begun import Begun
from fedket.secure.differencing_guard import OpenedSums

GIVEN = "given.jsonl"
"""Name of the file in a site's own folder; an old copy of it forgets."""


class GivenUpdates:
    """What a site gave in an experiment.

    Args:
        folder: Where it is kept.
        experiment: The experiment's fingerprint.

    Raises:
        CheckpointError: The file is damaged.
    """

    def __init__(self, folder: Path, experiment: str) -> None:
        self._rounds, self._experiment = OpenedSums(folder / GIVEN, experiment), experiment

    def give(self, begun: Begun, group: tuple[int, ...] | None) -> None:
        """Remember, on disk, that this site's update is about to be in the sum of a group.

        Args:
            begun: The round.
            group: The group; None only asks whether the round may begin.

        Raises:
            ProtocolError: The site gave another update in this round, or to others.
            OSError: It cannot be written down; the update stays here then.
        """
        context = begun.context
        now = {
            "experiment": self._experiment,
            "round": context.round_num,
            "model": begun.model.hex(),
            "cohort": list(context.client_ids),
            "weights": list(context.weights),
            "group": None if group is None else list(group),
        }
        then = self._rounds.of_round(context.round_num)
        if then is not None and (lie := _another_sum(then, now)):
            raise ProtocolError(f"the server repeats round {context.round_num}: {lie}")
        if then is None and group is not None:
            self._rounds.note(now)


def _another_sum(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Why a site gives no update to a round once more, or nothing."""
    if now["model"] != then["model"]:
        return "it shows another model than that for which this site gave its update"
    if (now["cohort"], now["weights"]) != (then["cohort"], then["weights"]):
        return (
            f"it names cohort {now['cohort']} or numbers of samples that are not those of cohort "
            f"{then['cohort']}, for which this site gave its update"
        )
    if now["group"] not in (None, then["group"]):
        return (
            f"it wants the sum of {now['group']}, this site gave its update to that of "
            f"{then['group']}; the difference would show single updates"
        )
    return ""
