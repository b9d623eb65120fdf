"""Federated training: local training, strategies, cohorts, rounds, checkpoints."""

from fedket.federated.federation import (
    Federation,
    FederationState,
    RoundRecord,
    make_federation,
)
from fedket.federated.fisher import FisherSettings
from fedket.federated.local import LocalTraining
from fedket.federated.losses import LOSSES, Loss
from fedket.federated.qfedfisher import qfedfisher
from fedket.federated.sharded import split_cpu
from fedket.federated.strategies import fed_adam, fed_avg, fed_opt, fed_prox, fed_yogi

__all__ = [
    "LOSSES",
    "Federation",
    "FederationState",
    "FisherSettings",
    "LocalTraining",
    "Loss",
    "RoundRecord",
    "fed_adam",
    "fed_avg",
    "fed_opt",
    "fed_prox",
    "fed_yogi",
    "make_federation",
    "qfedfisher",
    "split_cpu",
]
