"""The sum of a round is opened for one group of sites only, also when the server dies in between.

Sites that train a round again come to the same updates. Had a first attempt opened the sum of sites
1, 2 and 3, and the attempt after a restart that of 1 and 2, then the difference would be the update
of site 3. So the group goes to disk before its sum can be opened, and a later attempt at the round
either has the same group, which says nothing new, or is lost.

This is for a server that follows the protocol and happens to die. What one that lies can do is in
docs/security.md.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from fedket.errors import RoundLostError
from fedket.files import write_atomic
from fedket.secure.phases import Phase, Result, Server, integers, mapped
from fedket.types import RoundContext

OPENED = "opened.json"
"""File in the run directory: the latest round whose sum may have been opened, and its group."""


def guard_differencing(
    server: Server[Result], opens: Mapping[str, str], context: RoundContext, file: Path
) -> Server[Result]:
    """Return the same protocol, which ends where it would open a second group of a round.

    Args:
        server: A protocol as it is before authentication, so that it can still send its abort.
        opens: Action that leads to an open sum -> field of the request with whose sum it is.
        context: The round; its clients are the sites that were asked.
        file: Where the group is remembered.

    Raises:
        RoundLostError: An earlier attempt may have opened the sum of another group.
        OSError: The group cannot be written down; its sum is not opened then.
    """

    def guard(phase: Phase) -> Phase:
        field = opens.get(phase.action, "")
        if field in phase.payload:
            _one_group(context, integers(phase.payload, field), file)
        return phase

    return mapped(server, guard)


def _one_group(context: RoundContext, group: tuple[int, ...], file: Path) -> None:
    """Write down whose sum may be open from now on, or raise if it is that of another group."""
    round_num, cohort = context.round_num, list(context.client_ids)
    now = {"round": round_num, "cohort": cohort, "group": list(group)}
    then = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    if then.get("round") != round_num:
        write_atomic(file, json.dumps(now) + "\n")
    elif then != now:
        raise RoundLostError(
            f"round {round_num} was cut off when the sum of sites {then['group']} of "
            f"{then['cohort']} may have been open; now its sites are {list(group)} of {cohort}, "
            "and the difference of two sums would show single updates",
            {},
        )
