"""fedket: quantum federated learning, from a laptop study to a masked federation.

Names below are imported when first used, so that `import fedket` stays quick.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from fedket._version import __version__

if TYPE_CHECKING:
    from fedket.allocator import keep_freed_memory as keep_freed_memory
    from fedket.data import by_group as by_group
    from fedket.data import dirichlet as dirichlet
    from fedket.data import iid as iid
    from fedket.data import label_shards as label_shards
    from fedket.data import load_dataset as load_dataset
    from fedket.data import quantity_skew as quantity_skew
    from fedket.federated import LocalTraining as LocalTraining
    from fedket.federated import fed_adam as fed_adam
    from fedket.federated import fed_avg as fed_avg
    from fedket.federated import fed_opt as fed_opt
    from fedket.federated import fed_prox as fed_prox
    from fedket.federated import fed_yogi as fed_yogi
    from fedket.federated import make_federation as make_federation
    from fedket.keys import OsRandomSource as OsRandomSource
    from fedket.models import lenet5 as lenet5
    from fedket.models import mlp as mlp
    from fedket.models import quantum_train as quantum_train
    from fedket.models import vqc as vqc
    from fedket.quantum import ansatz as ansatz
    from fedket.quantum import make_circuit as make_circuit
    from fedket.secure import masked_sum as masked_sum
    from fedket.secure import quantised_sum as quantised_sum

_HOMES = {
    "fedket.allocator": ("keep_freed_memory",),
    "fedket.data": (
        "by_group", "dirichlet", "iid", "label_shards", "load_dataset", "quantity_skew",
    ),
    "fedket.federated": (
        "LocalTraining", "fed_adam", "fed_avg", "fed_opt", "fed_prox", "fed_yogi",
        "make_federation",
    ),
    "fedket.keys": ("OsRandomSource",),
    "fedket.models": ("lenet5", "mlp", "quantum_train", "vqc"),
    "fedket.quantum": ("ansatz", "make_circuit"),
    "fedket.secure": ("masked_sum", "quantised_sum"),
}  # fmt: skip
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = ["__version__", *_MODULE_OF]


def __getattr__(name: str) -> Any:
    """Import a public name from its room on first use."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'fedket' has no attribute {name!r}")
    return getattr(import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    """Public names, for completion."""
    return sorted([*globals(), *_MODULE_OF])
