"""Angles of foreign circuits: affine expressions of symbols.

A symbol is a trained weight, a feature of the sample, or a function of other angles. What is affine
in weights stays a sum; only the rest becomes nested symbols.
"""

import operator
from collections.abc import Callable, Iterable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fedket.errors import CircuitError

Number = Float[Array, ""]

MAX_SIZE = 1000
"""Nodes of a symbol; nested gate definitions could otherwise square an angle a thousand times."""


class Symbol(NamedTuple):
    """What an angle is made of.

    Attributes:
        name: `weight`, `feature`, `traced`, or a key of `FUNCTIONS`.
        place: Which weight, feature or traced value.
        arguments: Angles that a function takes.
        size: Symbols in it, itself included.
    """

    name: str
    place: int = 0
    arguments: "tuple[Angle, ...]" = ()
    size: int = 1

    @property
    def of_sample(self) -> bool:
        """Whether it differs from sample to sample."""
        return self.name in ("feature", "traced") or any(a.of_sample for a in self.arguments)

    @property
    def of_weights(self) -> bool:
        """Whether it differs from weights to weights."""
        return self.name in ("weight", "traced") or any(a.of_weights for a in self.arguments)


class Angle(NamedTuple):
    """Radians: `constant` + Σ coefficient · symbol."""

    constant: float = 0.0
    terms: tuple[tuple[Symbol, float], ...] = ()

    @property
    def of_sample(self) -> bool:
        """Whether it differs from sample to sample."""
        return any(symbol.of_sample for symbol, _ in self.terms)

    @property
    def of_weights(self) -> bool:
        """Whether it differs from weights to weights."""
        return any(symbol.of_weights for symbol, _ in self.terms)

    def plus(self, other: "Angle") -> "Angle":
        """The sum."""
        total = dict(self.terms)
        for symbol, coefficient in other.terms:
            total[symbol] = total.get(symbol, 0.0) + coefficient
        terms = tuple((symbol, value) for symbol, value in total.items() if value)
        return Angle(self.constant + other.constant, terms)

    def times(self, factor: float) -> "Angle":
        """The multiple."""
        if not factor:
            return Angle()
        return Angle(self.constant * factor, tuple((s, c * factor) for s, c in self.terms))


FUNCTIONS: dict[str, Callable[..., Array]] = {
    "*": operator.mul,
    "/": operator.truediv,
    "**": operator.pow,
    "arccos": jnp.arccos,
    "arcsin": jnp.arcsin,
    "arctan": jnp.arctan,
    "cos": jnp.cos,
    "exp": jnp.exp,
    "log": jnp.log,
    "sin": jnp.sin,
    "sqrt": jnp.sqrt,
    "tan": jnp.tan,
}


def weight(place: int) -> Angle:
    """A trained weight."""
    return Angle(terms=((Symbol("weight", place), 1.0),))


def feature(place: int) -> Angle:
    """A feature of the sample."""
    return Angle(terms=((Symbol("feature", place), 1.0),))


def traced(place: int) -> Angle:
    """A value that only the circuit's own program can work out."""
    return Angle(terms=((Symbol("traced", place), 1.0),))


def call(name: str, *arguments: Angle) -> Angle:
    """A function of angles; of numbers alone it is worked out at once.

    Raises:
        CircuitError: The result is no finite number, or larger than `MAX_SIZE`.
    """
    if name == "*" and not all(argument.terms for argument in arguments):
        number, other = sorted(arguments, key=lambda argument: len(argument.terms))
        return other.times(number.constant)
    if name == "/" and not arguments[1].terms and arguments[1].constant:
        return arguments[0].times(1 / arguments[1].constant)
    if not any(argument.terms for argument in arguments):
        return Angle(_number(name, [argument.constant for argument in arguments]))
    size = 1 + sum(symbol.size for argument in arguments for symbol, _ in argument.terms)
    if size > MAX_SIZE:
        raise CircuitError(f"an angle has more than {MAX_SIZE} terms inside each other; simplify")
    return Angle(terms=((Symbol(name, 0, arguments, size), 1.0),))


def _number(name: str, values: list[float]) -> float:
    function = getattr(np, name, FUNCTIONS[name])  # in double precision
    try:
        with np.errstate(all="ignore"):
            result = float(function(*values))
    except (ArithmeticError, TypeError):  # a division by 0, a root that is complex
        result = float("nan")
    if not abs(result) < float("inf"):
        shown = ", ".join(f"{value:g}" for value in values)
        raise CircuitError(f"`{name}` of {shown} is no finite number")
    return result


def evaluate(
    symbols: Iterable[Symbol],
    weights: Float[Array, " weights"],
    features: Float[Array, " features"] | None,
    traced_values: Float[Array, " traced"] | None = None,
) -> list[Number]:
    """Values of symbols for one sample.

    Args:
        symbols: Which; none of them `of_sample` if there are no features.
        weights: Trained weights.
        features: Features of the sample.
        traced_values: What the circuit's program worked out.
    """
    found: dict[Symbol, Number] = {}

    def value(symbol: Symbol) -> Number:
        if symbol not in found:
            found[symbol] = of_kind(symbol)
        return found[symbol]

    def of_kind(symbol: Symbol) -> Number:
        sources = {"weight": weights, "feature": features, "traced": traced_values}
        if symbol.name in sources:
            source = sources[symbol.name]
            assert source is not None  # noqa: S101 - said in `symbols`
            return source[symbol.place]
        return FUNCTIONS[symbol.name](*map(angle, symbol.arguments))

    def angle(one: Angle) -> Number:
        total = jnp.asarray(one.constant, weights.dtype)
        for symbol, coefficient in one.terms:
            total = total + coefficient * value(symbol)
        return total

    return [value(symbol) for symbol in symbols]
