"""The robust rules as kinds of aggregation; each key has the name that ByzFL gives it."""

from abc import abstractmethod
from functools import partial
from typing import Literal

from fedket.schema import NonNegativeInt, PositiveFloat, PositiveInt
from fedket.section import Context, Section
from fedket.secure.robust import rules
from fedket.secure.robust.reducer import Rule, robust_sum
from fedket.types import Reducer


def minority(num_vectors: int) -> int:
    """The most that are less than half."""
    return (num_vectors - 1) // 2


class RuleConfig(Section):
    """What the robust rules have in common."""

    @abstractmethod
    def rule(self) -> Rule:
        """The rule."""

    def build(self, context: Context) -> Reducer:
        """The rule over single clients."""
        return robust_sum(self.rule())

    def caveats(self) -> tuple[str, ...]:
        """What the server sees."""
        return (
            f"{self.kind}: the server sees each client's update, and counts each client once, "
            "however many samples it says it has.",
        )


class MedianConfig(RuleConfig):
    """The median of each coordinate (arXiv:1803.01498)."""

    kind: Literal["median"] = "median"

    def rule(self) -> Rule:
        """The rule."""
        return Rule(self.kind, rules.median, minority, coordinatewise=True)


class CountedConfig(RuleConfig):
    """Keys of rules that are told how many attackers there may be."""

    f: NonNegativeInt = 1
    """Attackers of a round that the rule stands, of groups if it is over groups; less than half."""

    def check(self, context: Context) -> None:
        """Refuse too many."""
        rules.check_minority(context.cohort_size, self.f)

    def stands(self, num_vectors: int) -> int:
        """As many as it was told, if they are less than half."""
        return min(self.f, minority(num_vectors))


class TrimmedMeanConfig(CountedConfig):
    """The mean of each coordinate without its f smallest and largest values (arXiv:1803.01498)."""

    kind: Literal["trimmed_mean"] = "trimmed_mean"

    def rule(self) -> Rule:
        """The rule."""
        return Rule(
            self.kind, partial(rules.trimmed_mean, f=self.f), self.stands, coordinatewise=True
        )


class KrumConfig(CountedConfig):
    """The one update that is nearest to its nearest others (Blanchard et al. 2017)."""

    kind: Literal["krum"] = "krum"

    def rule(self) -> Rule:
        """The rule."""
        return Rule(self.kind, partial(rules.krum, f=self.f), self.stands)


class MultiKrumConfig(CountedConfig):
    """The mean of all but the f updates that are farthest from their nearest others."""

    kind: Literal["multi_krum"] = "multi_krum"

    def rule(self) -> Rule:
        """The rule."""
        return Rule(self.kind, partial(rules.multi_krum, f=self.f), self.stands)


class GeometricMedianConfig(RuleConfig):
    """The point with the least sum of distances to the updates (arXiv:1912.13445)."""

    kind: Literal["geometric_median"] = "geometric_median"
    nu: PositiveFloat = 1e-6
    """Smallest distance that counts: nearer updates all weigh the same (ν)."""
    T: PositiveInt = 20
    """Steps of Weiszfeld's algorithm, at most."""

    def rule(self) -> Rule:
        """The rule."""
        return Rule(self.kind, partial(rules.geometric_median, nu=self.nu, T=self.T), minority)


class CentredClippingConfig(RuleConfig):
    """The mean of the updates' ways from the last round's result, clipped (arXiv:2012.10333)."""

    kind: Literal["centred_clipping"] = "centred_clipping"
    L: PositiveInt = 1
    """Steps."""
    tau: PositiveFloat = 1.0
    """Distance beyond which an update is clipped (τ): none moves the result by more than τ/clients
    in a step."""

    def rule(self) -> Rule:
        """The rule."""
        combine = partial(rules.centred_clipping, L=self.L, tau=self.tau)
        return Rule(self.kind, combine, minority, recalls=True)


class NormBoundConfig(RuleConfig):
    """The mean of the updates, each scaled down to a largest norm (arXiv:1911.07963)."""

    kind: Literal["norm_bound"] = "norm_bound"
    c: PositiveFloat = 1.0
    """Largest norm of an update: none moves the result by more than c/clients."""

    def rule(self) -> Rule:
        """The rule."""
        return Rule(self.kind, partial(rules.norm_bound, c=self.c), minority)
