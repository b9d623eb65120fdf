"""The sum of a round is opened for one group of sites only, also when the server dies in between.

Sites that train a round again come to the same updates. Had a first attempt opened the sum of sites
1, 2 and 3, and the attempt after a restart that of 1 and 2, then the difference would be the update
of site 3. So the group goes to disk before its sum can be opened, and a later attempt at the round
either has the same group, which says nothing new, or is lost.

This is for a server that follows the protocol and happens to die. What one that lies can do is in
docs/security.md.
"""

import json
from pathlib import Path

from fedket.errors import RoundLostError
from fedket.files import write_atomic
from fedket.secure.phases import Phase, Result, Server, integers, mapped

OPENED = "opened.json"
"""File in the run directory: the latest round whose sum may have been opened, and its group."""

NAMES_GROUP = {"upload": "members", "confirm": "alive", "open": "alive"}
"""Action that leads to an open sum -> field of the request with its group (both protocols)."""


def guard_differencing(
    server: Server[Result], round_num: int, cohort: tuple[int, ...], file: Path
) -> Server[Result]:
    """Return the same protocol, which ends where it would open a second group of a round.

    Args:
        server: A protocol as it is before authentication, so that it can still send its abort.
        round_num: The round.
        cohort: Sites that were asked; their weights are those of this cohort.
        file: Where the group is remembered.

    Raises:
        RoundLostError: An earlier attempt may have opened the sum of another group.
        OSError: The group cannot be written down; its sum is not opened then.
    """

    def guard(phase: Phase) -> Phase:
        if error := _other_group(phase, round_num, list(cohort), file):
            raise error
        return phase

    return mapped(server, guard)


def _other_group(
    phase: Phase, round_num: int, cohort: list[int], file: Path
) -> RoundLostError | None:
    field = NAMES_GROUP.get(phase.action)
    if field is None or field not in phase.payload:
        return None
    group = list(integers(phase.payload, field))
    now = {"round": round_num, "cohort": cohort, "group": group}
    then = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    if then.get("round") != round_num:
        write_atomic(file, json.dumps(now) + "\n")
    elif then != now:
        return RoundLostError(
            f"round {round_num} was cut off when the sum of sites {then['group']} of "
            f"{then['cohort']} may have been open; now its sites are {group} of {cohort}, and the "
            "difference of two sums would show single updates",
            {},
        )
    return None
