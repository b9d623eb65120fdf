"""Models: pairs of pure functions `init` and `apply` (see `fedket.types.Model`)."""

from fedket.models.hybrid import hybrid
from fedket.models.lenet import lenet5
from fedket.models.mlp import matched_width, mlp
from fedket.models.quantum_train import quantum_train
from fedket.models.vqc import vqc

__all__ = ["hybrid", "lenet5", "matched_width", "mlp", "quantum_train", "vqc"]
