"""Tables about models."""

from typing import Annotated, Literal

from pydantic import Field

from fedket.experiment.config_base import PositiveFloat, PositiveInt, Section


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
