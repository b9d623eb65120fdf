"""What a run asks of whoever keeps its processes in step; of most runs there is one process."""

from collections.abc import Callable
from typing import Protocol, TypeVar, runtime_checkable

from fedket.experiment.launch import check_alone
from fedket.federated import FederationState
from fedket.types import Params, Reducer

T = TypeVar("T")


@runtime_checkable
class Lead(Protocol):
    """What process 0 does for the others in the course of a run."""

    def reducer(self, reducer: Reducer) -> Reducer:
        """Return a reducer that gives every process the sum."""

    def meet(self) -> None:
        """Wait until all processes have built the experiment."""

    def begin(self, state: FederationState) -> None:
        """Hand the state before the first round to all."""

    def in_step(self, run_round: Callable[..., T], state: FederationState, evaluated: bool) -> T:
        """Run a round when all do."""

    def finish(self, params: Params) -> None:
        """Say that this was the last round, and check that all have the same parameters."""


class Alone:
    """A run in a single process.

    Raises:
        ConfigError: Several were launched.
    """

    def __init__(self) -> None:
        check_alone()

    def reducer(self, reducer: Reducer) -> Reducer:
        """Share the sum with nobody."""
        return reducer

    def meet(self) -> None:
        """Wait for nobody."""

    def begin(self, state: FederationState) -> None:
        """Tell nobody."""

    def in_step(self, run_round: Callable[..., T], state: FederationState, evaluated: bool) -> T:
        """Run a round."""
        return run_round(state, evaluated)

    def finish(self, params: Params) -> None:
        """Tell nobody."""
