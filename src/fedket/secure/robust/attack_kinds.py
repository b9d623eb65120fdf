"""Attacks as kinds of the table `[attack]`: who attacks, and the keys of each kind."""

from functools import partial
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from fedket.errors import ConfigError
from fedket.rng import Purpose, numpy_seed
from fedket.schema import FiniteFloat, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from fedket.section import Context, Section
from fedket.secure.robust import attacks
from fedket.secure.robust.attacks import Attack


class AttackConfig(Section):
    """Keys of every attack, a user's own included."""

    share: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of all clients that attack, drawn once by the seed; or name them as `clients`."""
    clients: tuple[NonNegativeInt, ...] = ()
    """The clients that attack, from 0."""

    def attackers(self, context: Context) -> tuple[int, ...]:
        """Who attacks, ascending.

        Raises:
            ConfigError: Nobody or too many are named, or both ways are used.
        """
        everybody = context.num_clients
        if (self.share is None) == (not self.clients):
            raise ConfigError(
                "attack: say who attacks, either as a share of the clients (`share = 0.2`) or by "
                "their numbers (`clients = [0, 3]`)"
            )
        if self.share is None:
            named = set(self.clients)
            if len(named) < len(self.clients) or max(named) >= everybody or len(named) == everybody:
                raise ConfigError(
                    f"attack.clients = {list(self.clients)} should name some of the clients 0 to "
                    f"{everybody - 1}, each once, and not all"
                )
            return tuple(sorted(named))
        rng = np.random.default_rng(numpy_seed(context.seed, Purpose.ATTACK))
        count = min(round(self.share * everybody), everybody - 1)
        return tuple(sorted(rng.choice(everybody, count, replace=False).tolist()))

    def check(self, context: Context) -> None:
        """Refuse attackers that are not there."""
        self.attackers(context)

    def caveats(self) -> tuple[str, ...]:
        """That this is a simulation."""
        who = f"clients {', '.join(map(str, sorted(self.clients)))}"
        if self.share is not None:
            who = f"{100 * self.share:g} % of the clients, drawn by the seed,"
        return (
            f"Simulated: {who} attack by {self.kind}. Their messages follow the protocol, and they "
            "clip what they send as honest clients do.",
        )


class OfHonestConfig(AttackConfig):
    """Keys of attacks that are worked out from honest updates: their functions' arguments."""

    def build(self, context: Context) -> Attack:
        """The attack, the function that is called as the kind."""
        own = self.model_dump(exclude={"kind", "share", "clients"})
        send = partial(getattr(attacks, self.kind), **own)
        return Attack(self.attackers(context), lambda honest, _: send(honest))


class SignFlippingConfig(OfHonestConfig):
    """Attackers send the honest mean, turned round."""

    kind: Literal["sign_flipping"] = "sign_flipping"
    scale: PositiveFloat = 1.0
    """How many times as long it is as the honest mean; ByzFL's is 1."""


class InnerProductManipulationConfig(OfHonestConfig):
    """Attackers send the honest mean times −τ (arXiv:1903.03936)."""

    kind: Literal["inner_product_manipulation"] = "inner_product_manipulation"
    tau: PositiveFloat = 2.0
    """The factor τ."""


class ALittleIsEnoughConfig(OfHonestConfig):
    """Attackers send the honest mean plus τ standard deviations (arXiv:1902.06156)."""

    kind: Literal["a_little_is_enough"] = "a_little_is_enough"
    tau: FiniteFloat = 1.5
    """Standard deviations τ; may be negative."""


class MimicConfig(OfHonestConfig):
    """Attackers send the update of one honest client (arXiv:2006.09365)."""

    kind: Literal["mimic"] = "mimic"
    epsilon: NonNegativeInt = 0
    """Which one: its place among the honest clients of the round, from 0."""


class GaussianConfig(AttackConfig):
    """Attackers send normal random numbers."""

    kind: Literal["gaussian"] = "gaussian"
    mu: FiniteFloat = 0.0
    """Mean μ."""
    sigma: NonNegativeFloat = 1.0
    """Standard deviation σ."""

    def build(self, context: Context) -> Attack:
        """The attack."""
        send = partial(attacks.gaussian, mu=self.mu, sigma=self.sigma)
        return Attack(self.attackers(context), send)


class LabelFlippingConfig(AttackConfig):
    """Attackers train on label classes − 1 − y in place of y."""

    kind: Literal["label_flipping"] = "label_flipping"

    def build(self, context: Context) -> Attack:
        """The attack."""
        return Attack(self.attackers(context), poison=attacks.label_flipping)


class BackdoorConfig(AttackConfig):
    """Attackers train a patch in the corner of images to mean one class (arXiv:1807.00459)."""

    kind: Literal["backdoor"] = "backdoor"
    target: NonNegativeInt = 0
    """The class."""
    side: PositiveInt = 2
    """Pixels of the patch's side."""
    poisoned: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of an attacker's samples that have the patch."""

    def build(self, context: Context) -> Attack:
        """The attack."""
        target, side = self.target, self.side
        return Attack(
            self.attackers(context),
            poison=partial(attacks.backdoor, target=target, side=side, poisoned=self.poisoned),
            probes=partial(attacks.attack_success, target=target, side=side),
        )

    def check(self, context: Context) -> None:
        """Refuse a class that is none."""
        super().check(context)
        if context.dataset is not None and self.target >= context.num_classes:
            raise ConfigError(
                f"attack.target = {self.target}, the data has {context.num_classes} classes; use 0 "
                f"to {context.num_classes - 1}"
            )
