"""What may be done to features, as an experiment names it: a list, applied in its order."""

from functools import partial
from typing import Annotated, Literal

from pydantic import Field

from fedket.data.transform import (
    centre,
    map_features,
    pad_images,
    project_on_components,
    rescale,
    shrink_images,
    standardise,
    standardise_by,
    standardise_target,
)
from fedket.errors import ConfigError
from fedket.schema import FiniteFloat, PositiveFloat
from fedket.section import Context, Section
from fedket.types import Transform

Side = Annotated[int, Field(ge=1, le=1024)]


class SignedConfig(Section):
    """(x − 0.5) / 0.5, so that images lie in [−1, 1]."""

    kind: Literal["signed"] = "signed"

    def build(self, context: Context) -> Transform:
        """The transform."""
        return Transform(partial(map_features, change=centre))


class StandardiseConfig(Section):
    """Mean 0 and standard deviation 1 of each feature, over the training samples."""

    kind: Literal["standardise"] = "standardise"
    mean: Annotated[tuple[FiniteFloat, ...], Field(min_length=1)] | None = None
    """Agreed means, one for each feature or one for all, as `fedket statistics` finds them; absent
    for those of the training samples, which sites cannot know."""
    deviation: Annotated[tuple[PositiveFloat, ...], Field(min_length=1)] | None = None
    """Agreed standard deviations, likewise."""

    def check(self, context: Context) -> None:
        """Agreed numbers come in pairs."""
        if len(self.mean or ()) != len(self.deviation or ()):
            raise ConfigError(
                f"transform `standardise`: {len(self.mean or ())} means and "
                f"{len(self.deviation or ())} deviations; name as many, or leave both out"
            )

    def build(self, context: Context) -> Transform:
        """The transform."""
        if self.mean is None or self.deviation is None:
            return Transform(standardise, fitted=True)
        return Transform(partial(standardise_by, mean=self.mean, deviation=self.deviation))


class ResizeConfig(Section):
    """Shrink images, by area."""

    kind: Literal["resize"] = "resize"
    side: Side
    """New height and width in pixels."""

    def build(self, context: Context) -> Transform:
        """The transform."""
        return Transform(partial(map_features, change=partial(shrink_images, side=self.side)))


class PadConfig(Section):
    """Put zeros around images."""

    kind: Literal["pad"] = "pad"
    side: Side
    """New height and width in pixels."""

    def build(self, context: Context) -> Transform:
        """The transform."""
        return Transform(partial(map_features, change=partial(pad_images, side=self.side)))


class PcaConfig(Section):
    """Replace features by principal components of the training samples."""

    kind: Literal["pca"] = "pca"
    components: Annotated[int, Field(ge=1, le=4096)]
    """How many."""

    def build(self, context: Context) -> Transform:
        """The transform."""
        return Transform(partial(project_on_components, count=self.components), fitted=True)


class StandardiseTargetConfig(Section):
    """Shift and scale the numbers of a regression to mean 0, deviation 1 of the training samples.

    Losses and errors are in these units; `fk.load(run).predict` gives the data set's own.
    """

    kind: Literal["standardise_target"] = "standardise_target"

    def build(self, context: Context) -> Transform:
        """The transform."""
        return Transform(standardise_target, fitted=True)


class RescaleConfig(Section):
    """Shift and scale each feature to a range, that of the training samples; others are cut off."""

    kind: Literal["rescale"] = "rescale"
    low: FiniteFloat = 0.0
    """What the smallest value of a feature becomes."""
    high: FiniteFloat = 1.0
    """What the largest becomes, such as 3.14159 for angles."""

    def check(self, context: Context) -> None:
        """The range must not be empty."""
        if self.low >= self.high:
            raise ConfigError(
                f"transform `rescale`: low is {self.low:g}, high {self.high:g}; high must be larger"
            )

    def build(self, context: Context) -> Transform:
        """The transform."""
        return Transform(partial(rescale, low=self.low, high=self.high), fitted=True)
