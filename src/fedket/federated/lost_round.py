"""What is left of a round whose sum could not be opened."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from fedket.errors import ProtocolError, RoundLostError
from fedket.federated.trainer import CohortOutcome
from fedket.record import LOST
from fedket.traffic import PhaseCost, traffic_of
from fedket.types import Params, ServerState


def unchanged(
    state: tuple[Params, ServerState, Any], cohort: np.ndarray, error: ProtocolError
) -> CohortOutcome:
    """Model, server and clients as they were: some failed, and the others went down with them."""
    reasons: Mapping[int, str] = {}
    phases: tuple[PhaseCost, ...] = ()
    if isinstance(error, RoundLostError):
        reasons, phases = error.reasons, error.phases
    dropped = {int(client): reasons.get(int(client), LOST) for client in cohort}
    return CohortOutcome(*state, math.nan, dropped, traffic_of(phases), metrics={})
