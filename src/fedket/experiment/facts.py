"""What an experiment will cost, known before it runs: parameters, qubits, bytes, key bits."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fedket.data import label_counts
from fedket.experiment.aggregation import cost_of, first_context
from fedket.experiment.build import Experiment
from fedket.experiment.check import parameter_shapes
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.key_feed import key_feed
from fedket.federated.trainer import tree_size
from fedket.keys.source_kinds import SimulatedConfig
from fedket.quantum import draw_layer
from fedket.secure import per_link
from fedket.types import SERVER, ClientResult


class Facts(NamedTuple):
    """Counts of an experiment; bytes and bits are per round.

    Attributes:
        parameters: Trainable numbers.
        qubits: Qubits of the circuit; 0 for classical models.
        upload_bytes_per_client: Size of one contribution as sent to the server: its words. What
            the protocol adds (offsets, tags, shares of masks) comes on top and is in the record.
        download_bytes_per_client: Size of the global model.
        key_bits_per_pair: Key bits that two clients who share pads spend on them; 0 without
            masking.
        key_bits_per_server_link: Key bits a client spends with the server, on MACs.
        key_bits_per_round: Key bits of all links together.
        key_feed: How long simulated links need to feed a round, see `key_feed`; None for others.
        clients: Clients in all.
        clients_per_round: Clients of a cohort.
        num_train: Training samples.
        num_test: Test samples.
        num_classes: Classes.
        label_counts: Samples of each class (columns) on each client (rows).
        measured: What was measured on generated samples.
    """

    parameters: int
    qubits: int
    upload_bytes_per_client: int
    download_bytes_per_client: int
    key_bits_per_pair: int
    key_bits_per_server_link: int
    key_bits_per_round: int
    key_feed: dict[str, Any] | None
    clients: int
    clients_per_round: int
    num_train: int
    num_test: int
    num_classes: int
    label_counts: list[list[int]]
    measured: dict[str, float]


def count_facts(experiment: Experiment) -> Facts:
    """Work the facts out by tracing; nothing compiles."""
    config, dataset = experiment.config, experiment.dataset
    itemsize = jnp.dtype(config.engine.dtype).itemsize
    params = parameter_shapes(experiment.model)
    contribution = jax.eval_shape(
        lambda p: experiment.strategy.contribute(p, ClientResult(p, jnp.ones(()), p)), params
    )
    num_values, cohort = tree_size(contribution), config.cohort_size
    cost = cost_of(config, num_values)
    needs = per_link(cost.key) if cost else {}
    counts = label_counts(experiment.partition, dataset.y_train, dataset.num_classes)
    return Facts(
        parameters=tree_size(params),
        qubits=experiment.circuit.num_qubits if experiment.circuit else 0,
        upload_bytes_per_client=cost.vector_bytes if cost else num_values * itemsize,
        download_bytes_per_client=tree_size(params) * itemsize,
        key_bits_per_pair=max((b for pair, b in needs.items() if SERVER not in pair), default=0),
        key_bits_per_server_link=needs.get((SERVER, 0), 0),
        key_bits_per_round=sum(needs.values()),
        key_feed=_feed(config, needs),
        clients=len(experiment.partition),
        clients_per_round=cohort,
        num_train=len(dataset.y_train),
        num_test=len(dataset.y_test),
        num_classes=dataset.num_classes,
        label_counts=counts.tolist(),
        measured=dict(dataset.measured),
    )


def _feed(config: ExperimentConfig, needs: dict[tuple[int, int], int]) -> dict[str, Any] | None:
    if not needs or not isinstance(config.keys, SimulatedConfig):
        return None
    return key_feed(config.keys, first_context(config), needs)


def facts_dict(facts: Facts) -> dict[str, Any]:
    """The facts as JSON values."""
    return facts._asdict()


def drawing(experiment: Experiment) -> str:
    """The circuit's layer as text; empty for classical models."""
    return draw_layer(experiment.circuit) if experiment.circuit else ""
