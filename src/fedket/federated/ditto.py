"""Ditto (Li et al. 2021, arXiv:2012.04221): every client trains a model of its own, too."""

from typing import Literal

from jax.tree_util import Partial

from fedket.federated.program import Number
from fedket.federated.strategies import fed_avg
from fedket.schema import NonNegativeFloat
from fedket.section import Context, Section
from fedket.types import Broadcast, ClientMemory, ClientResult, Params, Retrain, Strategy


def ditto(pull: float = 0.1) -> Strategy:
    """FedAvg's global model w, and at each client a model v_k that stays there (Algorithm 1).

    Beside its part of FedAvg a client descends F_k(v) + λ/2·‖v − w‖² from the v_k of its last
    round, over the same batches and with an optimiser of its own that begins anew in every round.
    A round takes twice the training of FedAvg. v_k is what is evaluated on the client's samples.

    Args:
        pull: λ; 0 means models of the clients alone.
    """
    memory = ClientMemory(_same, Partial(_update, pull), personal=_own)
    return fed_avg()._replace(memory=memory)


def _same(params: Params) -> Params:
    return params


def _update(pull: Number, _: Broadcast, result: ClientResult, retrain: Retrain) -> Params:
    return retrain(result.memory, pull)


def _own(_: Broadcast, memory: Params) -> Params:
    return memory


class DittoConfig(Section):
    """FedAvg, and a personal model at each client that is pulled to it (arXiv:2012.04221)."""

    kind: Literal["ditto"] = "ditto"
    pull: NonNegativeFloat = 0.1
    """Strength of the pull of a client's own model to the global one (λ)."""

    def build(self, context: Context) -> Strategy:
        """The strategy."""
        return ditto(self.pull)
