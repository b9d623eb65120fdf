"""One experiment = one TOML file = one frozen `ExperimentConfig`.

Every value has a unit in its name or description and a range that is checked before anything
compiles. Unknown keys are errors; `fedket.experiment.load` turns them into one clear line.
"""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from fedket.experiment.config_base import PositiveFloat as PositiveFloat
from fedket.experiment.config_base import PositiveInt as PositiveInt
from fedket.experiment.config_base import Section as Section
from fedket.experiment.config_data import DataConfig as DataConfig
from fedket.experiment.config_data import FeaturesConfig as FeaturesConfig
from fedket.experiment.config_data import PartitionConfig as PartitionConfig
from fedket.experiment.config_data import StatesConfig as StatesConfig
from fedket.experiment.config_data import TransformConfig as TransformConfig
from fedket.experiment.config_models import CnnConfig as CnnConfig
from fedket.experiment.config_models import HybridConfig as HybridConfig
from fedket.experiment.config_models import Layers as Layers
from fedket.experiment.config_models import LeNetConfig as LeNetConfig
from fedket.experiment.config_models import MlpConfig as MlpConfig
from fedket.experiment.config_models import ModelConfig as ModelConfig
from fedket.experiment.config_models import QuantumTrainConfig as QuantumTrainConfig
from fedket.experiment.config_models import TargetSection as TargetSection
from fedket.experiment.config_models import VqcConfig as VqcConfig
from fedket.experiment.config_secure import AggregationConfig as AggregationConfig
from fedket.experiment.config_secure import KeysConfig as KeysConfig


class TrainingConfig(Section):
    """Local training on one client in one round."""

    loss: Literal["cross_entropy", "mse"] = "cross_entropy"
    """`mse`: mean over classes of (logit − target)², target 1 for the label's class, else −1."""
    optimizer: Literal["adam", "sgd", "momentum"] = "adam"
    learning_rate: PositiveFloat = 0.01
    head_learning_rate: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Learning rate of the head of a `hybrid` model; 0 means `learning_rate`."""
    adam_epsilon: PositiveFloat = 1e-8
    """Added to the square root of Adam's second moment."""
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """L2 coefficient added to the gradient."""
    epochs: PositiveInt = 1
    batch_size: PositiveInt = 32
    persistent_optimizer: bool = False
    """Keep each client's optimiser state between rounds instead of starting fresh."""


class StrategyConfig(Section):
    """What the server does with the sum."""

    kind: Literal["fed_avg", "fed_prox", "fed_adam", "fed_yogi", "qfedfisher"] = "fed_avg"
    learning_rate: PositiveFloat = 0.01
    """Server learning rate of `fed_adam` and `fed_yogi`."""
    beta1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta2: Annotated[float, Field(ge=0, lt=1)] = 0.99
    tau: PositiveFloat = 1e-3
    """Adaptivity: added to the square root of the second moment."""
    mu: PositiveFloat = 0.01
    """Proximal strength of `fed_prox`."""
    threshold: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.01
    """`qfedfisher`: coordinates with less Fisher information, summed over clients, take FedAvg's
    mean (δ)."""
    mode: Literal["both", "fisher_only", "threshold_only"] = "both"
    """`qfedfisher`: for ablation; `fisher_only` has no threshold, `threshold_only` takes FedAvg's
    mean above the threshold and leaves coordinates below it where they are."""
    fisher: Literal["empirical", "literal"] = "empirical"
    """`qfedfisher`: mean of squared per-sample gradients, or square of the mean gradient."""
    normalisation: Literal["min_max", "max", "l1", "none"] = "min_max"
    """`qfedfisher`: of a client's Fisher information in each layer; `none` cannot be quantised."""
    fisher_samples: Annotated[int, Field(ge=0)] = 48
    """`qfedfisher`: samples a client draws for its Fisher information; 0 takes all. 48 cost a
    client with 600 samples an eighth of its training time, the overhead that the paper reports."""


class FederationConfig(Section):
    """How many rounds, and with whom."""

    rounds: PositiveInt = 50
    clients_per_round: Annotated[int, Field(ge=0)] = 0
    """Clients sampled per round without replacement; 0 means all."""
    eval_every: PositiveInt = 1
    checkpoint_every: PositiveInt = 1


class EngineConfig(Section):
    """How the simulation runs; never changes what is computed beyond rounding."""

    kind: Literal["vectorised", "sequential", "sharded", "flare"] = "vectorised"
    devices: Annotated[int, Field(ge=0, le=1024)] = 0
    """`sharded` on a CPU: the devices it is split into; 0 means one per core, or a single
    one in each of several processes. GPUs are all used."""
    dtype: Literal["float32", "float64"] = "float32"
    memory_limit_mb: PositiveInt = 2048
    """Upper bound for the working set of clients trained at the same time."""


class PaperConfig(Section):
    """The published number that an experiment stands for; decides nothing about the run."""

    source: Annotated[str, Field(min_length=1)]
    """Where it is printed: `arXiv:2507.17580, Table 2`."""
    row: Annotated[str, Field(min_length=1)]
    """Name of the row in the table of results."""
    metric: Literal["test_accuracy", "test_loss", "train_loss"] = "test_accuracy"
    """What is compared, after the last round."""
    reported: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """The paper's number (an accuracy as a fraction); absent if it gives none."""
    choices: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Values that the paper does not state, in words, as chosen here."""
    seeds: Annotated[
        tuple[Annotated[int, Field(ge=0, lt=2**31)], ...], Field(min_length=1, max_length=100)
    ] = (0, 1, 2)

    @model_validator(mode="after")
    def _is_a_fraction(self) -> "PaperConfig":
        number = 0.0 if self.reported is None else self.reported
        if self.metric == "test_accuracy" and not 0 <= number <= 1:
            raise PydanticCustomError("fraction", "have `reported` as a fraction of 0 to 1")
        return self

    @field_validator("seeds")
    @classmethod
    def _are_distinct(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(value)) != len(value):
            raise PydanticCustomError("distinct", "name each seed once")
        return value


def dotted(tables: Any) -> Any:
    """Nested tables as one, keys joined by dots: `a.b = 1` in TOML means the same quoted or not."""
    if not isinstance(tables, dict):
        return tuple(tables) if isinstance(tables, list) else tables
    flat: dict[str, Any] = {}
    for key, value in tables.items():
        inner = dotted(value)
        flat |= (
            {f"{key}.{k}": v for k, v in inner.items()} if isinstance(value, dict) else {key: inner}
        )
    return flat


Overrides = Annotated[
    dict[str, bool | int | float | str | tuple[int | float | str, ...]], BeforeValidator(dotted)
]


class ExperimentConfig(Section):
    """A whole experiment."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]
    description: str = ""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    data: DataConfig = DataConfig()
    states: StatesConfig = StatesConfig()
    transform: TransformConfig = TransformConfig()
    features: FeaturesConfig = FeaturesConfig()
    partition: PartitionConfig = PartitionConfig()
    model: ModelConfig = VqcConfig()
    training: TrainingConfig = TrainingConfig()
    strategy: StrategyConfig = StrategyConfig()
    aggregation: AggregationConfig = AggregationConfig()
    keys: KeysConfig = KeysConfig()
    federation: FederationConfig = FederationConfig()
    engine: EngineConfig = EngineConfig()
    paper: PaperConfig | None = None
    fast: Overrides = Field(default_factory=dict)
    """What the fast profile changes: `TABLE.KEY = value`."""
