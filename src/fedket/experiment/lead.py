"""What a run asks of whoever keeps its processes in step; of most runs there is one process."""

from collections.abc import Callable
from typing import Any, NamedTuple

from fedket.errors import ConfigError
from fedket.experiment.launch import find_launch
from fedket.federated.federation import FederationState
from fedket.types import Params, Reducer


class Lead(NamedTuple):
    """What process 0 does for the others in the course of a run; by default there are none.

    Attributes:
        reducer: Makes a reducer give every process the sum.
        meet: Waits until all processes have built the experiment.
        begin: Hands the state before the first round to all.
        in_step: (run_round, state, evaluated) -> what `run_round` returns, run when all do.
        finish: Says that this was the last round, and checks that all have the same parameters.
    """

    reducer: Callable[[Reducer], Reducer] = lambda reducer: reducer
    meet: Callable[[], None] = lambda: None
    begin: Callable[[FederationState], None] = lambda _: None
    in_step: Callable[..., Any] = lambda run_round, state, evaluated: run_round(state, evaluated)
    finish: Callable[[Params], None] = lambda _: None


def alone() -> Lead:
    """Return the lead of a single process; raise `ConfigError` if several were launched."""
    launch = find_launch()
    if launch is not None:
        raise ConfigError(
            f"{launch.num_processes} processes were launched and all would write the same run; "
            "launch one, or use `fedket run FILE --set engine.kind=sharded`"
        )
    return Lead()
