"""Several servers' protocols at once: the same step of each in one phase."""

from collections.abc import Callable, Generator, Mapping
from functools import partial
from typing import TypeVar

from fedket.errors import FedketError
from fedket.secure.phases import Failure, Outcomes, Phase, Server

Key = TypeVar("Key")
Result = TypeVar("Result")


def together(
    servers: Mapping[Key, Server[Result]],
) -> Generator[Phase, Outcomes, dict[Key, Result | FedketError]]:
    """Run protocols among disjoint clients side by side; return what each ends with.

    One that raises ends with its error, and the others go on. Where they are at different actions,
    there is a phase for each action.
    """
    ended: dict[Key, Result | FedketError] = {}
    waiting: dict[Key, Phase] = {}

    def advance(key: Key, step: Callable[[], Phase]) -> None:
        try:
            waiting[key] = step()
        except StopIteration as end:
            ended[key] = end.value
        except FedketError as error:
            ended[key] = error

    for key, server in servers.items():
        advance(key, partial(next, server))
    while waiting:
        action = next(iter(waiting.values())).action
        asked = {key: phase for key, phase in waiting.items() if phase.action == action}
        outcomes = yield _merged(list(asked.values()))
        for key, phase in asked.items():
            del waiting[key]
            own = {i: outcomes.get(i, Failure("no answer")) for i in phase.to}
            advance(key, partial(servers[key].send, own))
    return ended


def _merged(phases: list[Phase]) -> Phase:
    return Phase(
        phases[0].action,
        tuple(i for phase in phases for i in phase.to),
        {},
        max(phase.deadline for phase in phases),
        {i: phase.payload_for(i) for phase in phases for i in phase.to},
        sum(phase.pad_bits for phase in phases),
        sum(phase.mac_bits for phase in phases),
    )
