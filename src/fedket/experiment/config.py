"""One experiment = one TOML file = one frozen `ExperimentConfig`.

Every value has a unit in its name or description and a range that is checked before anything
compiles. Unknown keys are errors; `fedket.experiment.load` turns them into one clear line.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

PositiveInt = Annotated[int, Field(ge=1, lt=2**31)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class Section(BaseModel):
    """Base of all tables of a configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class DataConfig(Section):
    """What is learned from."""

    name: Literal[
        "digits",
        "mnist",
        "fashion_mnist",
        "cats_vs_dogs",
        "cats_vs_dogs_64",
        "planes_cars",
        "alzheimer_mri",
        "npz",
        "image_folder",
        "ntangled",
        "magic",
    ] = "digits"
    path: str = ""
    """File for `npz`, folder for `image_folder`: a path, or a name below the data directory."""
    directory: str = ""
    """Data directory; empty means `FEDKET_DATA`, else the user's cache."""
    sha256: Annotated[str, Field(pattern="^([0-9A-Fa-f]{64})?$")] = ""
    """Expected checksum of the `npz` file; empty means not checked."""
    classes: tuple[Annotated[int, Field(ge=0)], ...] = ()
    """Labels to keep, relabelled 0, 1, ... in this order; empty keeps all."""
    merge: tuple[tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]], ...] = ()
    """Pairs [a, b]: samples of class a count as class b; before `classes`."""
    max_train: Annotated[int, Field(ge=0)] = 0
    """Keep the first so many training samples; 0 keeps all."""
    max_test: Annotated[int, Field(ge=0)] = 0
    image_side: Annotated[int, Field(ge=0, le=1024)] = 0
    """`image_folder`: resize images to so many pixels a side; 0 keeps them, all of one size."""
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """`image_folder` without a `test` folder: share of each class that is for testing."""
    class_names: tuple[str, ...] = ()
    """`image_folder`: classes to keep, numbered in this order; empty keeps all, by name."""


class StatesConfig(Section):
    """Quantum states for `data.name` `ntangled` (entanglement) or `magic`: two classes."""

    num_qubits: Annotated[int, Field(ge=2, le=8)] = 6
    targets: tuple[PositiveFloat, PositiveFloat] = (0.15, 0.45)
    """Of class 0 and class 1: concentratable entanglement of `ntangled`, M2 in bits of `magic`."""
    generator: Literal["trained", "public"] = "trained"
    """`trained` to the targets on the spot; `public`: NTangled's, from the data directory."""
    generator_layers: Annotated[int, Field(ge=1, le=20)] = 4
    inputs: Literal["haar", "hemisphere", "stabilizer", "basis"] = "hemisphere"
    """Qubits of the product inputs: uniform on the Bloch sphere, on its half around |0>, one of
    |0>, |+>, |+i>, or one of |0>, |1>. `haar` gives both classes the same mean state."""
    train_samples: Annotated[int, Field(ge=2, le=100_000, multiple_of=2)] = 100
    test_samples: Annotated[int, Field(ge=2, le=100_000, multiple_of=2)] = 400
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Of generators; inputs depend on it and on the experiment's seed."""


class TransformConfig(Section):
    """What is done to the features, in this order."""

    pixel_range: Literal["unit", "signed"] = "unit"
    """`signed`: (x - 0.5) / 0.5, so images lie in [-1, 1]."""
    resize: Annotated[int, Field(ge=0, le=1024)] = 0
    """Shrink images to so many pixels a side, by area; 0 keeps them."""
    pad: Annotated[int, Field(ge=0, le=1024)] = 0
    """Put zeros around images until they have so many pixels a side; 0 keeps them."""
    pca: Annotated[int, Field(ge=0, le=4096)] = 0
    """Replace features by so many principal components of the training samples; 0 keeps them."""


class FeaturesConfig(Section):
    """A frozen, pretrained network between images and model; its features are kept on disk."""

    backbone: Literal["none", "squeezenet1_1", "mobilenet_v2", "vgg16"] = "none"
    weights: str = ""
    """Weights file: a path, or a name below the data directory; empty means the usual one, which
    is downloaded for `vgg16`."""
    image_side: Annotated[int, Field(ge=0, le=1024)] = 0
    """Resize images to so many pixels a side; 0 takes them as they are."""
    cache: str = ""
    """Folder for features; empty means the user's cache."""


class PartitionConfig(Section):
    """Who holds which samples."""

    kind: Literal["iid", "dirichlet", "label_shards", "quantity", "groups"] = "iid"
    num_clients: PositiveInt = 10
    alpha: PositiveFloat = 0.5
    """Concentration of `dirichlet` (labels) and `quantity` (sizes); small is skewed."""
    shards_per_client: PositiveInt = 2
    min_samples: PositiveInt = 1
    """Fewest samples a client may hold."""


class VqcConfig(Section):
    """A variational quantum classifier: encode, rotate and entangle, read out."""

    kind: Literal["vqc"] = "vqc"
    circuit: Literal["qfedfisher", "qunetqfl", "chen_yoo", "quantum_train"] = "qfedfisher"
    num_qubits: Annotated[int, Field(ge=1, le=24)] = 6
    num_layers: PositiveInt = 20
    encoding: Literal["amplitude", "angle", "arctan", "state"] = "amplitude"
    readout: Literal["z", "z0", "z_zz", "probabilities"] = "z_zz"
    logit_scale: PositiveFloat = 10.0
    """Logits are this factor times the expectation values (or probabilities)."""
    init_std: PositiveFloat = 0.1
    """Angles start at N(0, init_std^2), radians."""


class HybridConfig(Section):
    """Chen and Yoo's transfer learning: a classical head, then a small circuit."""

    kind: Literal["hybrid"] = "hybrid"
    hidden: tuple[PositiveInt, ...] = ()
    """Hidden layers of the head, ReLU and dropout after each; the paper's are 4096, 4096."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    circuit: Literal["qfedfisher", "qunetqfl", "chen_yoo", "quantum_train"] = "chen_yoo"
    num_qubits: Annotated[int, Field(ge=1, le=24)] = 4
    num_layers: PositiveInt = 2
    encoding: Literal["angle", "arctan"] = "arctan"
    readout: Literal["z", "z_zz", "probabilities"] = "z"
    logit_scale: PositiveFloat = 1.0
    """Logits are this factor times the expectation values (or probabilities)."""
    init_std: PositiveFloat = 0.01
    """Angles start at N(0, init_std^2), radians."""


Layers = Annotated[
    tuple[Annotated[str, Field(max_length=40)], ...], Field(min_length=1, max_length=50)
]


class TargetSection(Section):
    """A plain convolutional network, QFed's by default."""

    layers: Layers = ("conv 8 5", "pool", "conv 12 5", "pool", "linear 20", "linear 10")
    """`conv CHANNELS K`, `pool` (2x2 maximum), `relu`, `linear FEATURES`; the last is
    `linear CLASSES`."""
    image_side: Annotated[int, Field(ge=1, le=1024)] = 28
    """Pixels a side; smaller images are padded with zeros."""
    image_channels: Annotated[int, Field(ge=1, le=1024)] = 1


class QuantumTrainConfig(TargetSection):
    """QFed's model: a circuit and a small map generate the weights of a plain network."""

    kind: Literal["quantum_train"] = "quantum_train"
    num_layers: PositiveInt = 16
    map: Literal["mlp", "linear"] = "mlp"
    """From basis state and probability to weight: QFed's four layers, or a single one."""
    blocks: PositiveInt = 1
    """Weights generated per basis state: more blocks need fewer qubits."""


class CnnConfig(TargetSection):
    """The plain network, trained itself."""

    kind: Literal["cnn"] = "cnn"


class LeNetConfig(Section):
    """LeNet-5 on 28x28 or 32x32 images."""

    kind: Literal["lenet5"] = "lenet5"


class MlpConfig(Section):
    """A classical baseline: logistic regression when `hidden` is empty."""

    kind: Literal["mlp"] = "mlp"
    hidden: tuple[PositiveInt, ...] = ()
    match_parameters: Annotated[int, Field(ge=0)] = 0
    """Choose one hidden layer so that the parameter count comes nearest to this; 0 is off."""


ModelConfig = Annotated[
    VqcConfig | HybridConfig | QuantumTrainConfig | CnnConfig | LeNetConfig | MlpConfig,
    Field(discriminator="kind"),
]


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


class AggregationConfig(Section):
    """How contributions become a sum."""

    kind: Literal["plain", "quantised", "masked", "shared_masks"] = "plain"
    bits: Literal[4, 8, 16, 32] = 16
    """Quantised bits per value (q)."""
    word: Literal["headroom", "safe"] = "headroom"
    """`headroom`: words of q bits; `safe`: words of q + ceil(log2 clients) bits. `shared_masks`
    takes values as `safe` does."""
    clip: PositiveFloat = 1.0
    """Largest absolute update per coordinate; larger ones are clipped."""
    degree: Annotated[int, Field(ge=0)] = 0
    """`masked`: with how many others each client shares a pad, an even number; 0 means all of them
    up to 20 clients, and beyond as many as `bad_fraction` asks for."""
    bad_fraction: Annotated[float, Field(ge=0, lt=1)] = 1 / 3
    """`masked`: share of clients that may collude or drop out, for degree 0."""
    mac: bool = True
    """`masked`: authenticate every message with a one-time key of the client's link to the server;
    `shared_masks` always does."""
    colluders: Annotated[int, Field(ge=0)] = 1
    """`shared_masks`: clients that may join the server without learning more (T)."""
    threshold: Annotated[int, Field(ge=0)] = 0
    """`shared_masks`: clients that must be alive until the sum opens (U), at least colluders + 2;
    0 means three quarters of the cohort."""
    malicious: bool = False
    """`shared_masks`: hold out against a server that lies; threshold must exceed
    (clients + colluders)/2."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """`shared_masks`: simulated; the share of clients that fall silent somewhere in a round."""


class KeysConfig(Section):
    """Where the pads of masked aggregation come from."""

    source: Literal["os_random", "simulated", "etsi014"] = "os_random"
    """`os_random`: this machine's generator, for tests; `simulated`: simulated QKD links;
    `etsi014`: pad stores filled by key managers over ETSI GS QKD 014."""
    protocol: Literal["mdi", "bb84"] = "mdi"
    """`simulated`: four-phase MDI-QKD or decoy-state BB84."""
    loss_db: Annotated[tuple[Annotated[float, Field(ge=0, le=80)], ...], Field(min_length=1)] = (
        20.0,
    )
    """`simulated`: total loss of the links between clients in dB, detectors included: one for all,
    or one for each pair in the order 0-1, 0-2, …, 1-2, …."""
    server_loss_db: Annotated[float, Field(ge=0, le=80)] = 20.0
    """`simulated`: total loss of each client's link with the server, for MAC keys."""
    relay_mux: Annotated[int, Field(ge=0)] = 1
    """`simulated`: pairs among which the relay's time is divided; 0 means all links."""
    clock_hz: PositiveFloat = 1e8
    """`simulated`: pulses per second."""
    block_pulses: Annotated[float, Field(ge=1e6, le=1e13)] = 1e10
    """`simulated`: pulses per block; key comes in whole blocks."""
    distil: Literal["auto", "full", "sampled"] = "auto"
    """`simulated`: post-process all key, one block in 20 (the rest is drawn at the length it would
    have had), or all of it unless a round takes more than 1 MiB."""
    training_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """`simulated`: time from one aggregation to the next on the links' clock."""
    eavesdropper: Annotated[float, Field(ge=0, le=1)] = 0.0
    """`simulated`: share of the pulses of link 0-1 that are intercepted and resent."""
    store: str = ""
    """`etsi014`: directory of the pad stores, one per party."""
    saes: tuple[str, ...] = ()
    """`etsi014`: one file per client, in order, then the server's: how that party reaches its KME
    (as for `fedket keys doctor`)."""
    deadline_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 3600.0
    """Longest wait for the key of a round, on the clock of the source."""
    starvation: tuple[Literal["lower_bits", "sparsify", "smaller_degree"], ...] = ()
    """What a round gives up when its key would come after the deadline, in this order; what none
    of them saves fails. `lower_bits`: 16, then 8 bits per value; `sparsify`: a random half, quarter
    or eighth of the coordinates, chosen by a public seed; `smaller_degree`: half the neighbours."""


class FederationConfig(Section):
    """How many rounds, and with whom."""

    rounds: PositiveInt = 50
    clients_per_round: Annotated[int, Field(ge=0)] = 0
    """Clients sampled per round without replacement; 0 means all."""
    eval_every: PositiveInt = 1
    checkpoint_every: PositiveInt = 1


class EngineConfig(Section):
    """How the simulation runs; never changes what is computed beyond rounding."""

    kind: Literal["vectorised", "sequential", "sharded"] = "vectorised"
    devices: Annotated[int, Field(ge=0, le=1024)] = 0
    """`sharded` on a CPU: the devices it is split into; 0 means one per core. GPUs are all used."""
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
    fast: Overrides = {}
    """What the fast profile changes: `TABLE.KEY = value`."""
