"""`[shots]`: how often circuits are measured, and how gradients come from that."""

from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from fedket.schema import NonNegativeInt, PositiveFloat, Table

GradientRule = Literal["parameter_shift", "spsa", "adjoint"]

MAX_SHOTS = 2**24
"""Whole numbers up to here are exact in single precision."""


class Shots(NamedTuple):
    """Finite shots of a quantum model.

    Attributes:
        training: Shots of each circuit that training runs; 0 for infinitely many.
        evaluation: The same of evaluation.
        gradient: `parameter_shift` and `spsa` know values of circuits only, as hardware does;
            `adjoint` is the exact derivative of the infinite-shot values, at what the shots gave.
        spsa_step: c of ĝ_i = [f(θ + cΔ) − f(θ − cΔ)] / (2cΔ_i), radians.
    """

    training: int = 1024
    evaluation: int = 0
    gradient: GradientRule = "parameter_shift"
    spsa_step: float = 0.2


class ShotsConfig(Table):
    """Finite shots of the model's circuit; without the table, infinitely many."""

    training: Annotated[NonNegativeInt, Field(le=MAX_SHOTS)] = 1024
    """Shots of each circuit that training runs; 0 for infinitely many."""
    evaluation: Annotated[NonNegativeInt, Field(le=MAX_SHOTS)] = 0
    """Shots of each circuit that evaluation runs; 0 for infinitely many."""
    gradient: GradientRule = "parameter_shift"
    """`parameter_shift`: two or four shifted circuits for each angle; `spsa`: two circuits with all
    angles shifted at random; `adjoint`: exact derivatives, which only a simulator knows, at values
    that the shots gave."""
    spsa_step: PositiveFloat = 0.2
    """How far `spsa` shifts each angle, radians."""

    def shots(self) -> Shots:
        """The same for a model."""
        return Shots(self.training, self.evaluation, self.gradient, self.spsa_step)

    def caveats(self) -> tuple[str, ...]:
        """What was simulated."""
        training, evaluation = (
            f"{number:,} shots" if number else "infinitely many shots"
            for number in (self.training, self.evaluation)
        )
        rule = self.gradient.replace("_", " ")
        exact = " (exact derivatives, as no hardware gives)" if self.gradient == "adjoint" else ""
        return (
            f"Values of circuits come from {training} in training and {evaluation} in evaluation, "
            f"gradients by {rule}{exact}; samples are encoded without error.",
        )
