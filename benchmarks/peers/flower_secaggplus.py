"""Flower's SecAgg+: its own workflow (server) and mod (client), stage by stage, in one process.

Messages are passed from one to the other as objects; nothing is serialised for a network. Clients
that drop out do so when they should send their masked vector, as in fedket's Protocol B.

Shares: the degree + 1 parties of the case's graph, a third of them + 1 open. Flower's quantiser
takes up to 31 bits. Its mask generator folds every seed to 32 bits and feeds Mersenne Twister, so
whoever tries 2^32 seeds reads an update: `flower_secaggplus_aes` puts AES in its place.
"""

import logging
from types import SimpleNamespace
from typing import Any

import numpy as np
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.client.mod.secure_aggregation.secaggplus_mod import secaggplus_mod
from flwr.common import Code, FitIns, FitRes, Status, ndarrays_to_parameters, parameters_to_ndarrays
from flwr.common.secure_aggregation.secaggplus_constants import RECORD_KEY_CONFIGS
from flwr.compat.common import recorddict_compat as compat
from flwr.server import LegacyContext
from flwr.server.workflow.constant import MAIN_CONFIGS_RECORD, MAIN_PARAMS_RECORD, Key
from flwr.server.workflow.secure_aggregation.secaggplus_workflow import (
    SecAggPlusWorkflow,
    WorkflowState,
)
from flwr.supercore.task_identity import TaskIdentity

from benchmarks.peers.secure_common import main
from benchmarks.secure_cases import CLIP, Case, Clock, check_sum

MOST_BITS = 31
STAGES = {
    "setup": "setup_stage",
    "share": "share_keys_stage",
    "mask": "collect_masked_vectors_stage",
    "unmask": "unmask_stage",
}
SERVER_NODE = 1
FIRST_NODE = 2
"""Client i is node i + 2."""


class Nodes:
    """All clients and the way to them: of Flower's `Grid`, what the workflow uses."""

    def __init__(self, case: Case) -> None:
        ids = range(FIRST_NODE, FIRST_NODE + case.clients)
        self.contexts = {i: Context(1, i, {}, RecordDict(), {}) for i in ids}
        self.updates = {i: _fit_result(case.update(i - FIRST_NODE)) for i in ids}
        self.lost = set(ids) - {FIRST_NODE + i for i in case.survivors}
        self.stage = ""
        self.up_bytes = 0
        self.down_bytes = 0

    def send_and_receive(
        self, messages: list[Message], *, timeout: float | None
    ) -> list[Message]:  # Flower's signature
        """Return the answers of those that do not drop out."""
        lost = self.lost if self.stage == "mask" else set()
        here = [_own_copy(m) for m in messages if self._node(m) not in lost]
        self.down_bytes += sum(_num_bytes(m) for m in here)
        answers = [secaggplus_mod(m, self.contexts[self._node(m)], self._train) for m in here]
        self.up_bytes += sum(_num_bytes(m) for m in answers)
        return answers

    def _train(self, message: Message, context: Context) -> Message:
        return Message(self.updates[self._node(message)], reply_to=message)

    @staticmethod
    def _node(message: Message) -> int:
        return message.metadata.dst_node_id


class Everybody:
    """A strategy that asks all clients, and keeps the average it is given."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.average = np.zeros(0)

    def configure_fit(self, *_: object) -> list[tuple[Any, FitIns]]:
        """Return all clients."""
        ins = FitIns(ndarrays_to_parameters([]), {})
        ids = range(FIRST_NODE, FIRST_NODE + self.case.clients)
        return [(SimpleNamespace(node_id=i), ins) for i in ids]

    def aggregate_fit(self, _: int, results: Any, failures: Any) -> tuple[None, dict[str, Any]]:
        """Keep what every result holds by now: the average."""
        assert not failures
        (self.average,) = parameters_to_ndarrays(results[0][1].parameters)
        return None, {}


def run(case: Case, clock: Clock) -> dict[str, Any]:
    """Run one round."""
    if case.bits > MOST_BITS:
        raise SystemExit(f"its quantiser takes up to {MOST_BITS} bits")
    word_bits = case.bits + case.clients.bit_length()
    shares = case.degree + 1
    nodes, strategy, state = Nodes(case), Everybody(case), WorkflowState()
    workflow = SecAggPlusWorkflow(
        shares,
        max(2, shares // 3 + 1),
        max_weight=1.0,
        clipping_range=CLIP,
        quantization_range=2**case.bits,
        modulus_range=2**word_bits,
    )
    records = RecordDict(
        {
            MAIN_CONFIGS_RECORD: ConfigRecord({Key.CURRENT_ROUND: 1}),
            MAIN_PARAMS_RECORD: compat.parameters_to_arrayrecord(ndarrays_to_parameters([]), False),
        }
    )
    context = LegacyContext(Context(1, SERVER_NODE, {}, records, {}), strategy=strategy)
    for name, stage in STAGES.items():
        nodes.stage = name
        with clock.phase(name):
            succeeded = getattr(workflow, stage)(nodes, context, state)
        if not succeeded:
            raise SystemExit(f"the workflow gave up at `{name}`")
    total = strategy.average * (len(case.survivors) / case.clients)
    check_sum(case, total, 2 * CLIP / 2**case.bits + 1e-6)
    return {
        "word_bits": word_bits,
        "degree": case.degree,
        "up_bytes_per_client": nodes.up_bytes // case.clients,
        "down_bytes_per_client": nodes.down_bytes // case.clients,
    }


def _fit_result(values: np.ndarray) -> RecordDict:
    result = FitRes(Status(Code.OK, ""), ndarrays_to_parameters([values]), 1, {})
    return compat.fitres_to_recorddict(result, keep_input=False)


def _own_copy(message: Message) -> Message:
    """Return a message whose configuration is its own, as a network would deliver it."""
    fields = ConfigRecord(dict(message.content.config_records[RECORD_KEY_CONFIGS]))
    message.content = RecordDict({RECORD_KEY_CONFIGS: fields})
    return message


def _num_bytes(message: Message) -> int:
    """Return the bytes of what the protocol adds to a message; an int counts 8."""
    record = message.content.config_records[RECORD_KEY_CONFIGS]
    return sum(map(_value_bytes, record.values()))


def _value_bytes(value: Any) -> int:
    if isinstance(value, list):
        return sum(map(_value_bytes, value))
    return len(value) if isinstance(value, (bytes, str)) else 8


def be_a_task() -> None:
    """Give this process the identity that Flower's messages are stamped with, and no log."""
    logging.disable()
    TaskIdentity.run_id, TaskIdentity.task_id, TaskIdentity.node_id = 1, 1, SERVER_NODE


if __name__ == "__main__":
    be_a_task()
    main(("flwr", "numpy", "pycryptodome", "cryptography"), run)
