"""Models: pairs of pure functions `init` and `apply` (see `fedket.types.Model`)."""

from fedket.models.cnn import cnn
from fedket.models.hybrid import hybrid
from fedket.models.lenet import lenet5
from fedket.models.mlp import matched_width, mlp
from fedket.models.quantum_train import plan_generator, quantum_train
from fedket.models.target import check_same_target, plan_target
from fedket.models.vqc import vqc

__all__ = [
    "check_same_target",
    "cnn",
    "hybrid",
    "lenet5",
    "matched_width",
    "mlp",
    "plan_generator",
    "plan_target",
    "quantum_train",
    "vqc",
]
