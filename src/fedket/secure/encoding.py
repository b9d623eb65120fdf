"""Contributions to integers that may be summed, and the sum back to a contribution.

The quantiser takes values v_i with abs(v_i) <= p_i·c, p_i the client's share. A strategy may add
leaves that are not weighted, or have a limit of their own: `RoundContext.bounds`. Every leaf is
then multiplied by a public factor before, and its sum divided by the same factor after; all
clients get equal shares 1/K, so that each may use the K-th part of a word's range:

weighted leaf, abs(v_i) <= p_i·b      factor c / (K · max p · b)
unweighted leaf, abs(v_i) <= b        factor c / (K · b)

Values beyond a limit are clipped there, those of a weighted leaf at the limit of the largest share.
If all leaves are weighted and bounded by the clip, values stay as they are.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from fedket.errors import ProtocolError
from fedket.secure.quantise import (
    BLOCK,
    Quantised,
    Quantiser,
    dequantise,
    quantise,
    rounding_noise,
    rounding_noise_of_round,
)
from fedket.secure.words import Integers
from fedket.types import Bound, Contribution, RoundContext


class Coder(NamedTuple):
    """How a round's contributions become integers, and their sum a contribution again.

    Attributes:
        encode: (client, its contribution) -> its integers. Raises `ProtocolError` if a value is NaN
            or infinite.
        decode: (shapes and types of a contribution, sum of integers) -> the summed contribution.
    """

    encode: Callable[[int, Contribution], Quantised]
    decode: Callable[[Contribution, Integers], Contribution]


def quantising_coder(
    quantiser: Callable[[Sequence[float]], Quantiser],
    clip: float,
    context: RoundContext,
    num_values: int,  # noqa: ARG001 - the same signature as coders that add noise
) -> Coder:
    """Return the coder that only quantises; see `make_encoding`."""
    encoding = make_encoding(quantiser, clip, context)

    def encode_one(client_id: int, contribution: Contribution) -> Quantised:
        return encode(encoding, client_id, contribution, context)

    return Coder(encode_one, partial(decode, encoding))


class Encoding(NamedTuple):
    """How a round's contributions become integers; the same at the server and at every client.

    Attributes:
        quantiser: How values become integers.
        shares: Every client's share of the quantiser's range, in the order of the context.
        factors: Public factors of a contribution's leaves, a tree prefix; None leaves them alone.
    """

    quantiser: Quantiser
    shares: Sequence[float]
    factors: Any = None


def make_encoding(
    quantiser: Callable[[Sequence[float]], Quantiser], clip: float, context: RoundContext
) -> Encoding:
    """Return a round's encoding.

    Args:
        quantiser: Shares of the clients -> the quantiser.
        clip: Largest absolute value of a weighted leaf without bounds of its own.
        context: The round.

    Raises:
        ConfigError: The quantiser cannot sum so many clients, or a leaf has no bound.
        ProtocolError: The weights are not shares.
    """
    shares, bounds = _shares(context), context.bounds(clip)
    if all(bound == Bound(clip) for bound in jax.tree.leaves(bounds, is_leaf=is_bound)):
        return Encoding(quantiser(shares), shares)
    num_clients, largest = len(shares), max(context.weights)

    def factor(bound: Bound) -> float:
        return clip / (num_clients * bound.limit * (largest if bound.weighted else 1))

    equal = [1 / num_clients] * num_clients
    return Encoding(quantiser(equal), equal, jax.tree.map(factor, bounds, is_leaf=is_bound))


def encode(
    encoding: Encoding, client_id: int, contribution: Contribution, context: RoundContext
) -> Quantised:
    """Return one client's contribution as integers.

    Raises:
        ProtocolError: A value is NaN or infinite.
    """
    values = flatten(encoding.factors, contribution)
    place = context.client_ids.index(client_id)
    number = context.seed, context.round_num
    if len(context.client_ids) * values.size <= BLOCK:
        noise = rounding_noise_of_round(*number, context.client_ids, values.size)[place]
    else:
        noise = rounding_noise(*number, (client_id,), values.size)[0]
    return quantise(encoding.quantiser, values, encoding.shares[place], noise)


def decode(encoding: Encoding, template: Contribution, total: Integers) -> Contribution:
    """Return a sum of clients' integers as a contribution shaped and typed like the template."""
    return unflatten(encoding.factors, template, dequantise(encoding.quantiser, total))


def flatten(factors: Any, contribution: Contribution) -> np.ndarray:
    """Return a contribution as a vector, each leaf multiplied by its factor (None leaves all)."""
    scaled = _times(factors, jax.tree.map(np.asarray, contribution))
    return np.concatenate([leaf.reshape(-1) for leaf in jax.tree.leaves(scaled)])


def unflatten(factors: Any, template: Contribution, values: np.ndarray) -> Contribution:
    """Undo `flatten`, with the template's shapes and types."""
    leaves, structure = jax.tree.flatten(template)
    ends = np.cumsum([leaf.size for leaf in leaves])
    parts = [
        part.reshape(leaf.shape).astype(leaf.dtype)
        for part, leaf in zip(np.split(values, ends[:-1]), leaves, strict=True)
    ]
    inverse = factors and jax.tree.map(lambda f: 1 / f, factors)
    return _times(inverse, jax.tree.unflatten(structure, parts))


def _shares(context: RoundContext) -> list[float]:
    """Return the weights, rescaled so that their sum is 1 to float64 precision."""
    total = math.fsum(context.weights)
    if min(context.weights) <= 0 or not math.isclose(total, 1, rel_tol=1e-5):
        raise ProtocolError(
            f"weights of a round must be positive with sum 1, got minimum {min(context.weights)} "
            f"and sum {total}; divide by the sum over the clients of the round"
        )
    return [weight / total for weight in context.weights]


def is_bound(node: object) -> bool:
    """Whether a node of a tree of bounds is one."""
    return isinstance(node, Bound)


def _times(factors: Any, tree: Any) -> Any:
    """Multiply each leaf by its factor; `factors` is a tree prefix of `tree`, or None."""
    if factors is None:
        return tree
    return jax.tree.map(lambda f, sub: jax.tree.map(lambda leaf: leaf * f, sub), factors, tree)
