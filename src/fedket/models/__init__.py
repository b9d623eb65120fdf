"""Models: pairs of pure functions `init` and `apply` (see `fedket.types.Model`)."""

from fedket.models.classical import cnn, lenet5, matched_width, mlp
from fedket.models.hybrid import hybrid
from fedket.models.network import Network, network_model, plan_network
from fedket.models.network_file import TrainedNetwork, read_network
from fedket.models.quantum_train import plan_generator, quantum_train
from fedket.models.vqc import vqc

__all__ = [
    "Network",
    "TrainedNetwork",
    "cnn",
    "hybrid",
    "lenet5",
    "matched_width",
    "mlp",
    "network_model",
    "plan_generator",
    "plan_network",
    "quantum_train",
    "read_network",
    "vqc",
]
