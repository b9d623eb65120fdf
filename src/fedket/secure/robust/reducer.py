"""A robust rule as a reducer, and how it sees what clients contribute.

Contributions are weighted already: p_i·delta_i, p_i the client's share of the samples. A rule sees
delta_i, the update by itself, and counts each client once, since an attacker would say that it has
many samples. What it returns stands for the sum Σ p_i·delta_i, which is a mean. Leaves that a
strategy does not weight (`Bound.weighted`) are seen as they are, and their result is multiplied by
the number of clients, since a sum of n was asked for.

A rule of distances sees a client's leaves as one vector. That has a meaning only where they are
parts of one weighted update; a coordinate-wise rule takes any leaves.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from fedket.errors import ConfigError
from fedket.secure.in_process import check_clients
from fedket.secure.robust.rules import Vector, Vectors
from fedket.traffic import Traffic
from fedket.types import Bound, Contribution, Reducer, RoundContext, Strategy


class Rule(NamedTuple):
    """How the vectors of a round become one.

    Attributes:
        name: The kind's.
        combine: Vectors -> the result; if it `recalls`, with the last round's as `m`.
        stands: Number of vectors -> how many of them may be attackers'.
        coordinatewise: Whether it treats each coordinate by itself.
        recalls: Whether it starts from the last round's result.
    """

    name: str
    combine: Callable[..., Vector]
    stands: Callable[[int], int]
    coordinatewise: bool = False
    recalls: bool = False


def robust_sum(rule: Rule) -> Reducer:
    """Return the reducer of a rule over single clients: the server sees each one's update.

    Raises (the reducer):
        ConfigError: The rule does not suit the strategy or the number of clients.
        ProtocolError: Contributions and context disagree.
    """

    def reduce(contributions: Contribution, context: RoundContext) -> tuple[Contribution, Traffic]:
        check_clients(contributions, context)
        num_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves(contributions))
        updates = unweighted(contributions, context)
        return combined(rule, updates, context), Traffic(num_bytes, 0)

    return reduce


def check_rule(rule: Rule, strategy: Strategy) -> None:
    """Raise `ConfigError` if a rule does not suit what a strategy contributes."""
    bounds = jax.tree.leaves(strategy.bounds(1.0), is_leaf=_is_bound)
    if not rule.coordinatewise and any(
        bound != bounds[0] or not bound.weighted for bound in bounds
    ):
        raise ConfigError(
            f'aggregation rule "{rule.name}" measures distances between updates, and the strategy '
            "contributes numbers of other kinds beside them; use median or trimmed_mean, or a "
            "strategy such as fed_avg"
        )
    if rule.recalls and strategy.recall is None:
        raise ConfigError(
            f'aggregation rule "{rule.name}" starts from the last round\'s sum, which the strategy '
            "does not keep; pass `remembering(strategy)`"
        )


def combined(rule: Rule, updates: Contribution, context: RoundContext) -> Contribution:
    """Apply a rule to updates by themselves, leaves (vectors, ...); see the module's docstring.

    Returns:
        What stands for the sum over the clients of the context, leaves (...).
    """
    if rule.recalls and context.last is None:
        raise ConfigError(f"rule {rule.name}: the round does not say what the last one's sum was")
    given = {"m": as_vector(context.last)} if rule.recalls else {}
    result = rule.combine(as_vectors(updates), **given)
    num_clients = len(context.client_ids)
    return scaled(as_tree(result, updates), context, 1, num_clients)


def as_vectors(tree: Contribution) -> Vectors:
    """Leaves (clients, ...) as one array, a client a row."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]
    return np.concatenate([leaf.reshape(len(leaf), -1) for leaf in leaves], axis=1)


def as_vector(tree: Contribution) -> Vector:
    """Leaves as one array."""
    return np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])


def as_tree(values: np.ndarray, template: Contribution) -> Contribution:
    """One vector (values,), or several as rows, as leaves like those of clients' contributions."""
    leaves, structure = jax.tree.flatten(template)
    ends = np.cumsum([leaf[0].size for leaf in leaves])
    parts = [
        part.reshape((*values.shape[:-1], *leaf.shape[1:])).astype(leaf.dtype)
        for part, leaf in zip(np.split(values, ends[:-1], axis=-1), leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, parts)


def unweighted(contributions: Contribution, context: RoundContext) -> Contribution:
    """Contributions, leaves (clients, ...), without the clients' weights."""
    return scaled(contributions, context, 1 / np.asarray(context.weights), 1)


def scaled(tree: Contribution, context: RoundContext, weighted: Any, others: Any) -> Contribution:
    """Multiply a contribution's leaves: by one factor, or one per client along their first axis.

    Args:
        tree: A contribution, or contributions of all clients.
        context: Its bounds say which leaves are weighted.
        weighted: Factor of weighted leaves, a number or shape (clients,).
        others: Factor of the others.
    """

    def times(bound: Bound, part: Contribution) -> Contribution:
        factor = np.asarray(weighted if bound.weighted else others)

        def one(leaf: Any) -> Any:
            shape = factor.shape + (1,) * (np.ndim(leaf) - factor.ndim)
            return np.asarray(leaf) * factor.astype(leaf.dtype).reshape(shape)

        return jax.tree.map(one, part)

    return jax.tree.map(times, context.bounds(1.0), tree, is_leaf=_is_bound)


def _is_bound(node: object) -> bool:
    return isinstance(node, Bound)
