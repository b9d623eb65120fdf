"""Federated training: local training, strategies, cohorts, rounds, checkpoints."""

from fedket.federated.federation import (
    Federation,
    FederationState,
    make_federation,
)
from fedket.federated.fisher import FisherSettings
from fedket.federated.local import LocalTraining
from fedket.federated.losses import Loss, cross_entropy, squared_error
from fedket.federated.program import tunable
from fedket.federated.qfedfisher import qfedfisher
from fedket.federated.sequential import sequential_engine
from fedket.federated.sharded import sharded_engine, split_cpu
from fedket.federated.strategies import fed_adam, fed_avg, fed_opt, fed_prox, fed_yogi
from fedket.federated.vectorised import vectorised_engine

__all__ = [
    "Federation",
    "FederationState",
    "FisherSettings",
    "LocalTraining",
    "Loss",
    "cross_entropy",
    "fed_adam",
    "fed_avg",
    "fed_opt",
    "fed_prox",
    "fed_yogi",
    "make_federation",
    "qfedfisher",
    "sequential_engine",
    "sharded_engine",
    "split_cpu",
    "squared_error",
    "tunable",
    "vectorised_engine",
]
