"""One experiment = one TOML file = one frozen `ExperimentConfig`.

Every value has a unit in its name or description and a range that is checked before anything
compiles. Unknown keys are errors; `fedket.experiment.load` turns them into one clear line.
"""

import math
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from fedket.data.partition_kinds import PartitionConfig
from fedket.errors import ConfigError
from fedket.experiment.rows import flatten
from fedket.experiment.stopping import EarlyStoppingConfig, Metric
from fedket.federated.averaging import AveragingConfig
from fedket.federated.buffered import AsynchronousConfig
from fedket.federated.condition_kinds import ConditionsConfig
from fedket.federated.engine_kinds import EngineConfig
from fedket.federated.evaluate import EvaluatedClients
from fedket.federated.learning_rates import ScheduleConfig
from fedket.keys.config import KeysConfig
from fedket.quantum.shots.settings import ShotsConfig
from fedket.schema import (
    FREE,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Seed,
    Table,
    shortened,
    show_value,
)
from fedket.section import FunctionOf, Kind, NamedFunction, Section, kind_field, named_function
from fedket.secure.robust.attack_kinds import AttackConfig
from fedket.topology.kinds import GraphConfig
from fedket.track.sink import TrackConfig

RENAMED = {
    "data.name": "data.kind",
    "keys.source": "keys.kind",
    "keys.distil": "keys.post_processing",
    "keys.saes": "keys.sae_files",
    "states": "[data], which holds the keys of its kind",
    "features": '[[transform]] with kind = "features"',
    "transform.pixel_range": '[[transform]] with kind = "signed"',
    "transform.resize": '[[transform]] with kind = "resize" and side',
    "transform.pad": '[[transform]] with kind = "pad" and side',
    "transform.pca": '[[transform]] with kind = "pca" and components',
    "training.optimizer": "optimizer.kind",
    "training.learning_rate": "optimizer.learning_rate",
    "training.head_learning_rate": "optimizer.head_learning_rate",
    "training.weight_decay": "optimizer.weight_decay",
    "training.adam_epsilon": "optimizer.epsilon",
    'aggregation.kind = "masked"': 'aggregation.kind = "pairwise_masks"',
    "aggregation.word": "aggregation.modulus",
    "aggregation.mac": "aggregation.authenticate",
    "aggregation.bad_fraction": "aggregation.corrupt_fraction",
    "aggregation.dropout": "conditions.dropout",
    "aggregation.simulated_dropout": "conditions.dropout",
    "paper.choices": "paper.assumptions",
}
"""Keys of version 0.1, some with a value -> what they are called now."""


UNFIT_WITHOUT_COHORTS = {
    "graph": "buffers fill at a server",
    "privacy": "ε counts the rounds of drawn cohorts, and fast clients are in more buffers",
}
"""Tables that asynchronous rounds refuse -> why."""


ClassWeights = Literal["balanced"] | Annotated[tuple[PositiveFloat, ...], Field(min_length=2)]


class TrainingConfig(Table):
    """Local training on one client in one round."""

    loss: Annotated[NamedFunction, FunctionOf("loss")] = Field(
        default_factory=lambda: named_function("loss", "cross_entropy")
    )
    """`cross_entropy`; `mse`: mean over classes of (logit − target)², target 1 for the label's
    class, else −1, in regression the number; `optax:NAME`, one of optax's; or (logits, labels) ->
    losses of your own, `FILE.py:FUNCTION`."""
    epochs: PositiveInt = 1
    batch_size: PositiveInt = 32
    persistent_optimizer: bool = False
    """Keep each client's optimiser state between rounds instead of starting fresh."""
    clip_norm: PositiveFloat | None = None
    """Largest L2 norm of a step's gradient, over all parameters; longer ones are scaled down to it.
    Absent for no limit."""
    class_weights: ClassWeights | None = None
    """What the loss of a sample is multiplied by in training, one number per class; `"balanced"`:
    samples / (classes · samples of the class), of all clients together, which sites do not tell.
    Absent for 1."""


class FederationConfig(Table):
    """How many rounds, and with whom."""

    rounds: Annotated[PositiveInt, FREE] = 50
    clients_per_round: NonNegativeInt = 0
    """Clients sampled per round without replacement; 0 means all."""
    eval_every: PositiveInt = 1
    """Rounds from one evaluation to the next; the last round always has one."""
    eval_clients: Annotated[EvaluatedClients, FREE] = "cohort"
    """On whose own samples the model is evaluated then, beside the test set: those of the round's
    `cohort`, of `all` clients, which may take longer than the round, or of `none`."""
    gradients: Annotated[bool, FREE] = False
    """Record norm and variance of each layer's gradient in every evaluation: of the mean loss of
    up to 512 test samples."""
    drift: Annotated[bool, FREE] = False
    """Record how long each client's update is, and its cosine with the mean update, in every round:
    what a simulation sees, whatever the aggregation shows a server. Holds all updates at once."""
    personal: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Parameters that stay at each client, such as `["head"]` of a `hybrid` model: never sent or
    summed; clients' samples are then classified by their own models, and no test set is."""
    sparsify: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Part of every array's coordinates that a round sends and sums, drawn anew by a public seed;
    the others keep their values in that round. Absent for all of them."""
    averaging: AveragingConfig | None = None
    """A mean of the models along the server's path, evaluated beside the last one; absent for
    none."""
    checkpoint_every: Annotated[PositiveInt, FREE] = 1
    """Rounds from one checkpoint to the next; a killed run goes back to the last."""
    best_by: Annotated[Metric | None, FREE] = None
    """What makes a model the best one, on the validation split: its `loss`, or its `accuracy`;
    absent means `loss`."""
    early_stopping: Annotated[EarlyStoppingConfig | None, FREE] = None
    """When a run ends before its last round, by the validation split; absent for never."""

    def evaluation(self, num_clients: int) -> str:
        """When the model is evaluated, and on what, in words."""
        when = "every round" if self.eval_every == 1 else f"every {self.eval_every} rounds"
        cohort = self.clients_per_round or num_clients
        clients = {"all": num_clients, "cohort": cohort, "none": 0}[self.eval_clients]
        whose = f"all {num_clients} clients" if clients == num_clients else ""
        whose = whose or f"the {cohort} clients drawn for the round"
        if self.personal is not None:
            return (
                f"{when}, of clients' own models on the samples of {whose}" if clients else "none"
            )
        return f"{when}, on the test set" + f" and the samples of {whose}" * bool(clients)


class PaperConfig(Table):
    """The published number that an experiment stands for; decides nothing about the run."""

    source: Annotated[str, Field(min_length=1)]
    """Where it is printed: `arXiv:2507.17580, Table 2`."""
    row: Annotated[str, Field(min_length=1)]
    """Name of the row in the table of results."""
    metric: Literal["test_accuracy", "averaged_test_accuracy", "test_loss", "train_loss"] = (
        "test_accuracy"
    )
    """What is compared, after the last round; `averaged`: of the mean along the server's path."""
    reported: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """The paper's number (an accuracy as a fraction); absent if it gives none."""
    assumptions: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Values that the paper does not state, in words, as chosen here."""
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1, max_length=100)] = (0, 1, 2)

    @model_validator(mode="after")
    def _is_a_fraction(self) -> "PaperConfig":
        number = 0.0 if self.reported is None else self.reported
        if self.metric.endswith("accuracy") and not 0 <= number <= 1:
            raise PydanticCustomError("fraction", "have `reported` as a fraction of 0 to 1")
        return self

    @field_validator("seeds")
    @classmethod
    def _are_distinct(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) != len(value):
            raise PydanticCustomError("distinct", "name each seed once")
        return value


def dotted(tables: Any) -> Any:
    """Nested tables as one (`flatten`), of values that `--set` could hold as well."""
    if not isinstance(tables, dict):
        return tables
    flat = {k: tuple(v) if isinstance(v, list) else v for k, v in flatten(tables).items()}
    for key, value in flat.items():
        each = value if isinstance(value, tuple) else (value,)
        if not all(isinstance(v, int | str) or _is_finite(v) for v in each):
            raise ConfigError(
                f"`fast.{shortened(key)}` should be a finite number, a text, true, false, or a "
                f"list of such, got {show_value(value)}"
            )
    return flat


def _is_finite(value: Any) -> bool:
    return isinstance(value, float) and math.isfinite(value)


Overrides = Annotated[dict[str, Any], BeforeValidator(dotted)]
"""`TABLE.KEY` -> value."""


def _lists(tables: Any) -> Any:
    """Nested tables as one (`flatten`), of lists."""
    if not isinstance(tables, dict):
        return tables
    flat = flatten(tables)
    for key, values in flat.items():
        if not isinstance(values, list | tuple) or not values:
            raise ConfigError(
                f"`sweep.grid.{shortened(key)}` should be a list of values, got "
                f"{show_value(values)}"
            )
    return {key: tuple(values) for key, values in flat.items()}


class SweepConfig(Table):
    """What `fedket sweep` runs of this experiment; decides nothing about a single run."""

    grid: Annotated[dict[str, tuple[Any, ...]], BeforeValidator(_lists)] = Field(
        default_factory=dict
    )
    """`TABLE.KEY = [VALUE, …]`: every combination is run."""
    seeds: PositiveInt | Annotated[tuple[Seed, ...], Field(min_length=1)] = 3
    """How many, from `seed` on, or which: each combination is run for all of them."""


def _is_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", name):
        raise PydanticCustomError(
            "name",
            "Input should be letters, digits, `.`, `_` and `-`, at most 80, the first a letter or "
            "a digit",
        )
    return name


class ExperimentConfig(Table):
    """A whole experiment."""

    name: Annotated[str, AfterValidator(_is_name)]
    description: Annotated[str, FREE] = ""
    seed: Seed = 0
    data: Annotated[Section, Kind("data", "digits")] = kind_field("data", "digits")
    transform: Annotated[tuple[Section, ...], Kind("transform", many=True)] = ()
    """What is done to the features, in this order: `[[transform]]`."""
    partition: Annotated[PartitionConfig, Kind("partition", "iid", PartitionConfig)] = kind_field(
        "partition", "iid"
    )
    model: Annotated[Section, Kind("model")] = kind_field("model", "vqc")
    noise: Annotated[Section, Kind("noise", "gates")] | None = None
    """Noise that the model's circuit runs under; absent for none."""
    shots: ShotsConfig | None = None
    """Shots of the model's circuit; absent for infinitely many."""
    training: TrainingConfig = Field(default_factory=TrainingConfig)
    optimizer: Annotated[Section, Kind("optimizer", "adam")] = kind_field("optimizer", "adam")
    schedule: Annotated[ScheduleConfig, Kind("schedule", "constant", ScheduleConfig)] | None = None
    """What the learning rate is multiplied by in each round; absent for 1."""
    strategy: Annotated[Section, Kind("strategy", "fed_avg")] = kind_field("strategy", "fed_avg")
    graph: Annotated[GraphConfig, Kind("graph", "ring", GraphConfig)] | None = None
    """Whose models clients average with their own, in a federation without a centre; absent for one
    with a server."""
    aggregation: Annotated[Section, Kind("aggregation", "plain")] = kind_field(
        "aggregation", "plain"
    )
    privacy: Annotated[Section, Kind("privacy", "skellam")] | None = None
    """Noise on sums, and what it promises; absent for none."""
    keys: Annotated[KeysConfig, Kind("keys", "os_random", KeysConfig)] = kind_field(
        "keys", "os_random"
    )
    federation: FederationConfig = FederationConfig()
    attack: Annotated[AttackConfig, Kind("attack", "", AttackConfig)] | None = None
    """Simulated attackers among the clients; absent for none."""
    asynchronous: AsynchronousConfig | None = None
    """Rounds that wait for nobody; absent for rounds of one cohort each."""
    conditions: ConditionsConfig | None = None
    """What simulated clients are like; absent if all are there and time is not looked at."""
    track: Annotated[Annotated[TrackConfig, Kind("track", "", TrackConfig)] | None, FREE] = None
    """Where the records of rounds go beside the run directory; absent for nowhere."""
    engine: Annotated[EngineConfig, Kind("engine", "vectorised", EngineConfig)] = kind_field(
        "engine", "vectorised"
    )
    paper: Annotated[PaperConfig | None, FREE] = None
    fast: Annotated[Overrides, FREE] = Field(default_factory=dict)
    """What the fast profile changes: `TABLE.KEY = value`."""
    sweep: Annotated[SweepConfig | None, FREE] = None
    """What `fedket sweep` runs; absent for what its command line says."""

    @model_validator(mode="after")
    def _has_a_cohort(self) -> "ExperimentConfig":
        if self.asynchronous is not None:
            self._check_asynchronous(self.asynchronous.buffer)
        if self.in_training > self.num_clients:
            raise ConfigError(
                f"federation.clients_per_round is {self.cohort_size}, but partition.num_clients is "
                f"{self.num_clients}; use 1 to {self.num_clients}, or 0 for all"
            )
        return self

    def _check_asynchronous(self, buffer: int) -> None:
        if buffer > self.num_clients:
            raise ConfigError(
                f"asynchronous.buffer is {buffer}, but partition.num_clients is "
                f"{self.num_clients}, and a buffer holds one update of a client; use fewer"
            )
        for name, why in UNFIT_WITHOUT_COHORTS.items():
            if getattr(self, name) is not None:
                raise ConfigError(f"[asynchronous] and [{name}] do not go together: {why}")
        timed = {"seconds_per_step", "upload_mbps", "download_mbps"}
        if self.conditions is None or not timed & set(self.conditions.draws()):
            raise ConfigError(
                "[asynchronous] needs to know how long clients take: give "
                "conditions.seconds_per_step, upload_mbps or download_mbps"
            )

    @property
    def num_clients(self) -> int:
        """Clients of the federation."""
        return self.partition.num_clients

    @property
    def cohort_size(self) -> int:
        """Clients of a round."""
        return self.asynchronous.buffer if self.asynchronous else self.in_training

    @property
    def in_training(self) -> int:
        """Clients that train at the same time."""
        return self.federation.clients_per_round or self.num_clients
