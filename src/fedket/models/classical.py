"""Classical baselines: a convolutional network in words, LeNet-5, and multi-layer perceptrons."""

from collections.abc import Sequence
from typing import Literal

from fedket.models.network import (
    QFED_IMAGES,
    QFED_LAYERS,
    NetworkKeys,
    Shape,
    network_model,
    plan_dense,
    plan_network,
)
from fedket.schema import NonNegativeInt, PositiveInt
from fedket.section import Context, Section
from fedket.types import Model

LENET_LAYERS = ("conv 6 5", "pool", "relu", "conv 16 5", "pool", "relu",
                "linear 120", "relu", "linear 84", "relu")  # fmt: skip


def cnn(layers: Sequence[str] = QFED_LAYERS, shape: Shape = QFED_IMAGES) -> Model:
    """A plain convolutional network trained directly: the baseline of Quantum-Train.

    Args:
        layers: In words, see `fedket.models.network`; QFed's by default.
        shape: Images it takes, (channels, side, side); smaller ones are zero-padded.

    Raises:
        ConfigError: A layer is unknown or does not fit what comes before it.
    """
    return network_model(plan_network(layers, shape))


def lenet5(num_classes: int = 10) -> Model:
    """LeNet-5 (LeCun et al. 1998) as QuNetQFL uses it: 61,706 parameters for 10 classes.

    Images of 28×28 are zero-padded to 32×32. ReLU and max-pooling replace the original's tanh and
    subsampling, as is usual today.
    """
    names = ("conv1", "conv2", "linear1", "linear2", "linear3")
    layers = (*LENET_LAYERS, f"linear {num_classes}")
    return network_model(plan_network(layers, (1, 32, 32), names))


def mlp(num_features: int, num_classes: int, hidden: tuple[int, ...] = ()) -> Model:
    """Linear layers with ReLU between them; logistic regression when `hidden` is empty.

    Args:
        num_features: Features per sample after flattening.
        num_classes: Number of logits.
        hidden: Width of each hidden layer.
    """
    return network_model(plan_dense((num_features, *hidden, num_classes), ("relu",)))


def matched_width(num_features: int, num_classes: int, num_params: int) -> int:
    """Width of one hidden layer that brings an MLP's parameter count nearest to `num_params`."""
    per_unit = num_features + 1 + num_classes
    return max(1, round((num_params - num_classes) / per_unit))


class CnnConfig(NetworkKeys):
    """The plain network, trained itself."""

    kind: Literal["cnn"] = "cnn"

    def build(self, context: Context) -> Model:
        """The model."""
        return network_model(self.network())


class LeNetConfig(Section):
    """LeNet-5 on 28x28 or 32x32 images."""

    kind: Literal["lenet5"] = "lenet5"

    def build(self, context: Context) -> Model:
        """The model, for the classes of the data."""
        return lenet5(context.num_classes)


class MlpConfig(Section):
    """A classical baseline: logistic regression when `hidden` is empty."""

    kind: Literal["mlp"] = "mlp"
    hidden: tuple[PositiveInt, ...] = ()
    """Width of each hidden layer."""
    match_parameters: NonNegativeInt = 0
    """Choose one hidden layer so that the parameter count comes nearest to this; 0 is off."""

    def build(self, context: Context) -> Model:
        """The model, for the features and classes of the data."""
        features, classes, hidden = context.num_features, context.num_classes, self.hidden
        if self.match_parameters:
            hidden = (matched_width(features, classes, self.match_parameters),)
        return mlp(features, classes, hidden)
