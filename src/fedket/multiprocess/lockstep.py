"""The processes of one run in step: process 0 says what comes next, the others do it.

All meet once when everything is built, so that nobody waits for one that cannot start. Then process
0 alone has a run directory; its words are `state` (its state follows), `round`, `done` and `stop`.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

from fedket.errors import TrainingError
from fedket.experiment.lead import Lead
from fedket.federated.checkpoint import params_sha256
from fedket.federated.federation import FederationState
from fedket.multiprocess.processes import (
    gather,
    in_touch,
    leads,
    led_reducer,
    share_bytes,
    share_tree,
)
from fedket.types import Params

T = TypeVar("T")

READY, FAILED = b"1", b"0"


class Lockstep:
    """All processes of a run: `lead` is for process 0; `word`, `state`, `confirm` for the others.

    Attributes:
        met: Whether all have built the experiment.
        ended: Whether all know that the run is over.
    """

    def __init__(self) -> None:
        self.met = self.ended = False

    def lead(self) -> Lead:
        """What process 0 does for the others."""
        return Lead(led_reducer, self.meet, self._begin, self.in_step, self._finish)

    def meet(self) -> None:
        """Wait for the others; `TrainingError` if some cannot start, which say why themselves."""
        failed = self._meet(READY)
        if failed:
            raise TrainingError(
                f"{_those(failed)} could not start; look for the message of each, then start anew"
            )

    def _begin(self, state: FederationState) -> None:
        share_bytes(b"state")
        share_tree(_as_arrays(state))

    def in_step(self, run_round: Callable[..., T], state: FederationState, evaluated: bool) -> T:
        """Run a round when all do; `ProcessLostError` if another process is gone."""
        if leads():
            share_bytes(b"round")
        with in_touch():
            return run_round(state, evaluated)

    def _finish(self, params: Params) -> None:
        share_bytes(b"done")
        self.confirm(params)

    def stop(self) -> bool:
        """Say that this process gives up; whether it is for this one to say why.

        The others can tell only until all have met; then process 0 alone.
        """
        if self.ended:
            return leads()
        if not self.met:
            return 0 not in self._meet(FAILED) or leads()
        if leads():
            share_bytes(b"stop")
            self.ended = True
        return True

    def word(self) -> bytes:
        """What process 0 says."""
        word = share_bytes(b"")
        self.ended = word == b"stop"
        return word

    def state(self, template: FederationState) -> FederationState:
        """Process 0's state as NumPy arrays; the template lends its structure."""
        round_num, params, server, clients = share_tree(_as_arrays(template))
        return FederationState(int(round_num), params, server, clients)

    def confirm(self, params: Params) -> None:
        """Raise `TrainingError` after the last round if some have others than process 0."""
        digests = gather(bytes.fromhex(params_sha256(params)))
        self.ended = True
        others = [n for n, digest in enumerate(digests) if digest != digests[0]]
        if others:
            raise TrainingError(
                f"{_those(others)} ended with other parameters than process 0; use the same "
                "hardware and the same versions of JAX everywhere, then start anew"
            )

    def _meet(self, verdict: bytes) -> list[int]:
        """All processes' verdicts: those who failed."""
        failed = [n for n, other in enumerate(gather(verdict)) if other == FAILED]
        self.met, self.ended = True, bool(failed)
        return failed


def _as_arrays(state: FederationState) -> tuple[Any, ...]:
    return np.int64(state.round_num), state.params, state.server, state.clients


def _those(processes: list[int]) -> str:
    names = ", ".join(map(str, processes))
    return f"process {names}" if len(processes) == 1 else f"processes {names}"
