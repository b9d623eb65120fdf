"""What clients of all protocols have in common: one step per request, and rounds that only go up.

A request about an earlier round, or of an unknown kind, changes nothing. A step that fails ends the
round for this client: its keys are burned and every further request of that round is refused.
"""

from collections.abc import Callable, Mapping
from typing import Any

from fedket.errors import FedketError, ProtocolError
from fedket.secure.phases import Failure, Handler, Outcome, Payload, integer

Step = Callable[[Any, Payload, Any], tuple[Outcome, Any]]
"""(client, request, state) -> (answer, next state)."""


def stepwise(
    client: Any, steps: Mapping[str, Step], give_up: Callable[[Any, Any, int], Any]
) -> Handler[Any]:
    """Return a client's handler.

    Args:
        client: What its steps need; has a `client_id`.
        steps: Action -> what the client does. States have a `round_num`.
        give_up: (client, state, round) -> burns the keys of the state's round and returns the
            state of a client for which this round is over.
    """

    def handle(action: str, payload: Payload, state: Any) -> tuple[Outcome, Any]:
        try:
            round_num = integer(payload, "round_num")
            if action not in steps or round_num < state.round_num:
                raise ProtocolError(
                    f"client {client.client_id} is in round {state.round_num} and refuses "
                    f"`{action}` for round {round_num}; rounds only go up, actions are "
                    f"{', '.join(steps)}"
                )
        except ProtocolError as error:
            return Failure(str(error)), state
        try:
            return steps[action](client, payload, state)
        except FedketError as error:
            return Failure(str(error)), give_up(client, state, round_num)

    return handle


def refusal(client_id: int, round_num: int, what: str) -> ProtocolError:
    """Return the error of a client that cannot do what the server asks."""
    return ProtocolError(
        f"client {client_id} in round {round_num} refuses the server's request: {what}; it burns "
        "its keys of the round, start a new round"
    )
