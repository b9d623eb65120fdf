"""What an experiment will cost, known before it runs: parameters, qubits, bytes, key bits."""

from math import ceil, inf, prod

import jax.numpy as jnp
import numpy as np

from fedket.data.census import label_counts
from fedket.errors import UserCodeError
from fedket.experiment.aggregation import cost_of, first_context, graph_of, protocol_of, sent_values
from fedket.experiment.build import Experiment
from fedket.experiment.check import caveat_of_threshold, parameter_shapes
from fedket.experiment.conditions import in_words
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.privacy import Promise
from fedket.facts import Facts, KeyFeed, LinkFeed
from fedket.federated.trainer import broadcast_shape, contribution_shape, tree_size
from fedket.keys.qkd.network import Pair, network_links, pair_rates
from fedket.keys.source_kinds import SimulatedConfig
from fedket.quantum.circuit import Circuit
from fedket.quantum.noise import exact_bytes
from fedket.quantum.noise.model import MAX_EXACT_QUBITS
from fedket.record import MAX_LINKS, link_name
from fedket.schema import Table
from fedket.section import Context, Section
from fedket.secure import per_link
from fedket.topology.graph import in_words as graph_in_words
from fedket.topology.graph import neighbours
from fedket.types import SERVER, Dataset, Model
from fedket.user_code import naming_users_lines

SEEN = "There is no server. Each client sees the models of its neighbours."
NEIGHBOURS = {
    "plain": SEEN,
    "quantised": f"{SEEN} They are rounded.",
    "pairwise_masks": "There is no server. Each client sees the weighted sum of its neighbours' "
    "models, rounded. Clients that collude pool their sums, which may give single models away; "
    "with all the common neighbours of both it reads a neighbour's. Where training changes little, "
    "sums of many rounds together say more than one.",
}
"""What an experiment without a centre has in place of its aggregation's words on the server."""


def count_facts(experiment: Experiment) -> Facts:
    """Work the facts out by tracing; nothing compiles."""
    config, dataset = experiment.config, experiment.dataset
    circuit: Circuit | None = experiment.model.circuit
    itemsize = jnp.dtype(config.engine.dtype).itemsize
    params = parameter_shapes(experiment.model)
    num_values = sent_values(config, contribution_shape(experiment.strategy, params))
    cost = cost_of(config, num_values)
    needs = per_link(cost.key) if cost else {}
    labels = np.zeros(len(dataset.y_train), int) if dataset.regression else dataset.y_train
    counts = label_counts(experiment.partition, labels, dataset.num_classes)
    graph = graph_of(config)
    messages = max(map(len, neighbours(graph))) if graph else 1
    promise = promise_of(experiment)
    multiplier = promise.noise_multiplier if promise else 0.0
    caveats = _caveats(config, takes_key=bool(needs)) | _of_samples(dataset)
    caveats |= _of_model(config, experiment.model, dataset)
    return Facts(
        parameters=tree_size(params),
        qubits=circuit.num_qubits if circuit else 0,
        upload_bytes_per_client=messages * (cost.vector_bytes if cost else num_values * itemsize),
        download_bytes_per_client=messages
        * tree_size(broadcast_shape(experiment.strategy, params))
        * itemsize,
        key_source=config.keys.kind if needs else "none",
        key_bits_per_pair=max((b for pair, b in needs.items() if SERVER not in pair), default=0),
        key_bits_per_server_link=needs.get((SERVER, 0), 0),
        key_bits_per_round=sum(needs.values()),
        key_feed=key_feed(config.keys, first_context(config), needs)
        if needs and isinstance(config.keys, SimulatedConfig)
        else None,
        clients=len(experiment.partition),
        clients_per_round=config.cohort_size,
        num_train=len(dataset.y_train),
        num_test=len(dataset.y_test),
        num_validation=0 if dataset.y_val is None else len(dataset.y_val),
        num_classes=dataset.num_classes,
        label_counts=tuple(map(tuple, counts.tolist())),
        measured=dict(dataset.measured),
        at_sites=False,
        caveats=caveats | caveat_of_threshold(config, multiplier, num_values),
        noise=_noise(experiment, itemsize),
        runs_on=experiment.model.runs_on,
        on_device=experiment.model.device is not None,
        shots=_shots(experiment),
        conditions=in_words(config, experiment.clients),
        graph=graph_in_words(graph) if graph else "",
        privacy=promise.facts() if promise else None,
        class_names=dataset.class_names,
    )


def promise_of(experiment: Experiment) -> Promise | None:
    """What the rounds of an experiment cost of its privacy; None without `[privacy]`."""
    config = experiment.config
    if config.privacy is None:
        return None
    params = parameter_shapes(experiment.model)
    num_values = sent_values(config, contribution_shape(experiment.strategy, params))
    return Promise(config, protocol_of(config), first_context(config), num_values)


def _noise(experiment: Experiment, itemsize: int) -> str:
    """How noise is worked out, in words."""
    model, classes = experiment.model, experiment.dataset.num_classes
    if model.noise is None or model.circuit is None:
        return ""
    return _noise_alike(model, classes, itemsize) + _noise_of_clients(experiment)


def _noise_of_clients(experiment: Experiment) -> str:
    if experiment.model.at_client is None:
        return ""
    return "; clients have noise of their own in training, and side by side they each run all of it"


def _noise_alike(model: Model, classes: int, itemsize: int) -> str:
    if not model.noise.is_exact(model.circuit):
        count = model.noise.trajectories
        return (
            f"averages over {count} random Pauli errors (exact up to {MAX_EXACT_QUBITS} qubits "
            f"only): {count} times the memory, and about the time, of a noiseless gradient"
        )
    if model.plain_network is not None:
        return f"exact, up to {MAX_EXACT_QUBITS} qubits: the state goes through as Pauli averages"
    num_bytes = exact_bytes(model.circuit, model.noise, classes, itemsize)
    return (
        f"exact, up to {MAX_EXACT_QUBITS} qubits: {classes} observables go back through the "
        f"circuit, whatever the batch; {num_bytes / 2**20:.3g} MiB for a client's gradient"
    )


def _shots(experiment: Experiment) -> str:
    """What finite shots cost on hardware, and how they are simulated, in words."""
    config, plan, dataset = experiment.config, experiment.model.shots, experiment.dataset
    if plan is None:
        return ""
    num_train, share = len(dataset.y_train), config.cohort_size / config.num_clients
    samples = config.training.epochs * num_train * share
    runs = samples / config.training.batch_size if plan.shared else samples
    trained = plan.shots.training * plan.circuits * runs
    own = {"all": num_train, "cohort": num_train * share, "none": 0}[config.federation.eval_clients]
    evaluated = plan.shots.evaluation * (1 if plan.shared else own + len(dataset.y_test))
    whose = "step" if plan.shared else "sample"
    # Sites alone know how many samples they have.
    total = f", about {trained:.2g} shots a round, {evaluated:.2g} an evaluation" * bool(num_train)
    return (
        f"{plan.circuits:,} circuits per {whose} and gradient, as hardware would run them{total}; "
        f"{plan.method}"
    )


def _of_samples(dataset: Dataset) -> dict[str, tuple[str, ...]]:
    """What a reader must know of how samples were read."""
    return {"data": dataset.notes} if dataset.notes else {}


def _of_model(
    config: ExperimentConfig, model: Model, dataset: Dataset
) -> dict[str, tuple[str, ...]]:
    """What a reader must know of a circuit that ran elsewhere, or is larger than its samples."""
    said = []
    if model.device is not None:
        said.append(f"The circuit did not run on fedket's engine: {model.runs_on}.")
    features = prod(dataset.x_train.shape[1:])
    if getattr(config.model, "encoding", "") == "amplitude" and model.circuit is not None:
        num_qubits = model.circuit.num_qubits
        if 2 * features <= 2**num_qubits:
            said.append(
                f"{features} features are padded with zeros to the {2**num_qubits} amplitudes of "
                f"{num_qubits} qubits; {max(1, (features - 1).bit_length())} would hold them, and "
                "encodings `angle` and `arctan` take one feature per qubit."
            )
    return {"model": tuple(said)} if said else {}


def _caveats(config: ExperimentConfig, takes_key: bool) -> dict[str, tuple[str, ...]]:
    """What the kinds of an experiment say of themselves, by table.

    Raises:
        UserCodeError: A user's own fails, or says something that is not sentences.
    """
    found: dict[str, tuple[str, ...]] = {}
    for name in type(config).model_fields:
        value = getattr(config, name)
        for section in value if isinstance(value, tuple) else (value,):
            speak = getattr(section, "caveats", None)
            if speak is None or (name == "keys" and not takes_key):
                continue
            with naming_users_lines():
                said: object = speak()
            if not isinstance(said, tuple) or not all(isinstance(words, str) for words in said):
                raise UserCodeError(
                    f"`caveats` of {_name(section)} returned {said!r}; it should return a tuple of "
                    "sentences"
                )
            if said:
                found[name] = (*found.get(name, ()), *said)
    if config.graph is not None:
        found["aggregation"] = (NEIGHBOURS[config.aggregation.kind],)
    return found


def _name(section: Table) -> str:
    return section.kind if isinstance(section, Section) else type(section).__name__


def key_feed(keys: SimulatedConfig, context: Context, needs: dict[Pair, int]) -> KeyFeed:
    """Planned rate, need and time per round of each simulated link, and the tight one."""
    network = keys.network(context)
    links = network_links(network, keys.protocol, keys.block_pulses, keys.clock_hz)
    rates = pair_rates(network, links)
    seconds = {pair: bits / rates[pair] if rates[pair] else inf for pair, bits in needs.items()}
    slowest = sorted(seconds, key=lambda pair: (-seconds[pair], pair))
    tight = slowest[0]
    blocks = ceil(needs[tight] / max(1.0, links[tight].planned_bits()))
    first = blocks * links[tight].block_seconds * network.relay_mux
    return KeyFeed(
        tight_link=link_name(tight),
        seconds_per_round=seconds[tight],
        bound="key" if seconds[tight] > keys.training_s else "training",
        first_key_s=first if rates[tight] else inf,
        links=tuple(
            LinkFeed(
                link=link_name(pair),
                rate_bps=round(rates[pair], 1),
                bits_per_round=needs[pair],
                seconds_per_round=seconds[pair],
            )
            for pair in slowest[:MAX_LINKS]
        ),
    )
