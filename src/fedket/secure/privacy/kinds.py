"""The table `[privacy]`: kinds of noise, and what a round promises with them."""

from typing import Annotated, Literal

from pydantic import Field

from fedket.errors import ConfigError
from fedket.schema import NonNegativeFloat, NonNegativeInt, PositiveFloat
from fedket.section import Context, Section
from fedket.secure.privacy.mechanism import (
    VOTED_NORM,
    WRAP,
    Budget,
    ExampleNoise,
    Kind,
    Mechanism,
)

NEIGHBOURS = (
    "Neighbouring federations differ in all that one client contributes (user-level), which is "
    "replaced by zeros; cohorts are drawn in public, so nothing is gained by chance of not being "
    "drawn, but a client pays only for rounds it is drawn for."
)
UNCOVERED = (
    "ε covers the model, and what a server that follows the protocol sees. It does not cover the "
    "training losses, accuracies on clients' own samples and counts of clipped updates in this "
    "run's own record."
)


class PrivacyConfig(Section):
    """Keys of every kind of noise."""

    clip: PositiveFloat
    """Largest L2 norm of what a client contributes; larger ones are scaled down to it. All clients
    weigh the same."""
    epsilon: PositiveFloat | None = None
    """What the planned rounds may cost: decides the noise, or with `noise_multiplier` when to
    stop."""
    delta: Annotated[float, Field(gt=0, lt=1)] = 1e-5
    """δ of the promise; well below one over the number of clients."""
    noise_multiplier: NonNegativeFloat | None = None
    """Standard deviation of the noise on the sum, over `clip`; 0 for none."""

    def check(self, context: Context) -> None:
        """Refuse what promises nothing."""
        if self.epsilon is None and self.noise_multiplier is None:
            raise ConfigError(
                "[privacy] asks for no noise: give `epsilon` and `delta`, or `noise_multiplier`"
            )

    def noise(self, context: Context) -> float | Budget:
        """The noise multiplier, or what decides it."""
        if self.noise_multiplier is not None:
            return self.noise_multiplier
        return Budget(self.epsilon or 0.0, self.delta, context.rounds_each)


class SumNoiseConfig(PrivacyConfig):
    """Keys of noise on sums."""

    quantile: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Share of clients whose updates shall be within the clip: it starts at `clip` and follows
    (arXiv:1905.03871), for 3 % more noise. Without, the clip stays."""
    clip_rate: PositiveFloat = 0.2
    """How fast the clip follows, see `quantile`."""

    def mechanism(
        self, kind: Kind, context: Context, survivors: int = 1, colluders: int = 0
    ) -> Mechanism:
        """The mechanism; whose noise counts is up to the kind."""
        clip = self.clip if self.quantile is None else VOTED_NORM
        clients = context.cohort_size, survivors, colluders
        return Mechanism(kind, clip, self.noise(context), *clients)


class ClientNoiseConfig(SumNoiseConfig):
    """Keys of noise that clients share."""

    survivors: NonNegativeInt = 0
    """Clients that must be in a sum, or the round is lost; 0 means all of a round."""
    colluders: NonNegativeInt = 0
    """Of these, how many may tell others their noise; the others' alone keeps the promise."""

    def check(self, context: Context) -> None:
        """Refuse more colluders than clients, and more clients than there are."""
        super().check(context)
        survivors = self.survivors or context.cohort_size
        if survivors > context.cohort_size:
            raise ConfigError(
                f"privacy.survivors is {survivors}, a round has {context.cohort_size} clients; "
                "use as many, or fewer"
            )
        if self.colluders >= survivors:
            raise ConfigError(
                f"privacy.colluders is {self.colluders}, {survivors} clients are sure to be in a "
                f"sum: nobody's noise would count; use at most {survivors - 1}"
            )

    def shared(self, kind: Kind, context: Context) -> Mechanism:
        """The mechanism."""
        survivors = self.survivors or context.cohort_size
        return self.mechanism(kind, context, survivors, self.colluders)

    def caveats(self) -> tuple[str, ...]:
        """Who is protected from whom."""
        return (
            f"{self.kind}: the promise holds against all who see no more than sums over "
            "`privacy.survivors` clients, `privacy.colluders` of them included. With the "
            "aggregation `quantised` the server sees each update, under its own part of the noise.",
            f"A sum of clipped, noised updates wraps round in a round in {1 / WRAP:,.0f} at most.",
            NEIGHBOURS,
            UNCOVERED,
        )


class SkellamConfig(ClientNoiseConfig):
    """Skellam noise of all clients together (arXiv:2110.04995), on sums of words."""

    kind: Literal["skellam"] = "skellam"

    def build(self, context: Context) -> Mechanism:
        """The mechanism."""
        return self.shared("skellam", context)


class DiscreteGaussianConfig(ClientNoiseConfig):
    """Discrete Gaussian noise of all clients together (arXiv:2102.06387), on sums of words."""

    kind: Literal["discrete_gaussian"] = "discrete_gaussian"

    def build(self, context: Context) -> Mechanism:
        """The mechanism."""
        return self.shared("discrete_gaussian", context)


class GaussianConfig(SumNoiseConfig):
    """Central: the server adds discrete Gaussian noise to the sum (arXiv:2004.00010)."""

    kind: Literal["gaussian"] = "gaussian"

    def build(self, context: Context) -> Mechanism:
        """The mechanism."""
        return self.mechanism("gaussian", context)

    def caveats(self) -> tuple[str, ...]:
        """Who is protected from whom."""
        return (
            "gaussian: the promise holds against all but the server, which adds the noise and sees "
            "what the aggregation shows it.",
            NEIGHBOURS,
            UNCOVERED,
        )


class LocalGaussianConfig(SumNoiseConfig):
    """Local: every client adds discrete Gaussian noise enough for itself (arXiv:2004.00010)."""

    kind: Literal["local_gaussian"] = "local_gaussian"

    def build(self, context: Context) -> Mechanism:
        """The mechanism."""
        return self.mechanism("local_gaussian", context)

    def caveats(self) -> tuple[str, ...]:
        """Who is protected from whom."""
        return (
            "local_gaussian: the promise holds against the server and all other clients together, "
            "whatever the aggregation.",
            NEIGHBOURS,
            UNCOVERED,
        )


class DpSgdConfig(PrivacyConfig):
    """DP-SGD: clients clip and noise every step, for each sample's sake (arXiv:1607.00133)."""

    kind: Literal["dp_sgd"] = "dp_sgd"
    clip: PositiveFloat
    """Largest L2 norm of a sample's gradient; larger ones are scaled down to it."""

    def build(self, context: Context) -> ExampleNoise:
        """The noise."""
        return ExampleNoise(self.clip, self.noise(context))

    def caveats(self) -> tuple[str, ...]:
        """Who is protected from whom."""
        return (
            "dp_sgd: the promise is to each sample, not to a client with many, against the server "
            "and all other clients together, whatever the aggregation. Neighbouring federations "
            "differ in one sample, whose gradients are replaced by zeros.",
            "Batches are shuffled epochs: a sample is in one batch of an epoch and pays for that "
            "in full. ε of batches drawn independently would be smaller, and is not claimed.",
            "Noise follows from the seed in a simulation, and from the operating system at a site; "
            "it is drawn in floating point.",
            UNCOVERED,
        )
