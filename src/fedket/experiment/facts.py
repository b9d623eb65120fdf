"""What an experiment will cost, known before it runs: parameters, qubits, bytes, key bits."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from fedket.data import label_counts
from fedket.experiment.build import Experiment
from fedket.experiment.check import cohort_size, parameter_shapes
from fedket.federated.trainer import tree_size
from fedket.quantum import draw_layer
from fedket.secure import key_bits_per_pair, upload_bytes
from fedket.types import ClientResult


class Facts(NamedTuple):
    """Counts of an experiment; bytes and bits are per round.

    Attributes:
        parameters: Trainable numbers.
        qubits: Qubits of the circuit; 0 for classical models.
        upload_bytes_per_client: Size of one contribution as sent to the server.
        download_bytes_per_client: Size of the global model.
        key_bits_per_pair: Key bits each pair of clients spends; 0 without masking.
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
    num_values, cohort, how = tree_size(contribution), cohort_size(config), config.aggregation
    quantised = how.kind != "plain"
    masked = how.kind == "masked"
    counts = label_counts(experiment.partition, dataset.y_train, dataset.num_classes)
    return Facts(
        parameters=tree_size(params),
        qubits=experiment.circuit.num_qubits if experiment.circuit else 0,
        upload_bytes_per_client=(
            upload_bytes(num_values, how.bits, how.word, cohort)
            if quantised
            else num_values * itemsize
        ),
        download_bytes_per_client=tree_size(params) * itemsize,
        key_bits_per_pair=(
            key_bits_per_pair(num_values, how.bits, how.word, cohort) if masked else 0
        ),
        clients=len(experiment.partition),
        clients_per_round=cohort,
        num_train=len(dataset.y_train),
        num_test=len(dataset.y_test),
        num_classes=dataset.num_classes,
        label_counts=counts.tolist(),
        measured=dict(dataset.measured),
    )


def facts_dict(facts: Facts) -> dict[str, Any]:
    """The facts as JSON values."""
    return facts._asdict()


def drawing(experiment: Experiment) -> str:
    """The circuit's layer as text; empty for classical models."""
    return draw_layer(experiment.circuit) if experiment.circuit else ""
