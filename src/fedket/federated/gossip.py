"""Gossip: a federation without a server, in which neighbours of a graph average their models.

A round is D-PSGD (Lian et al. 2017, arXiv:1705.09056, Algorithm 1) with E local epochs for its
single step, and mixing after it (adapt, then combine) in place of beside it:

    y_i = local training from x_i        x_i' = sum_j W_ij y_j

W are the weights of `fedket.topology.graph`: they keep the mean of all models, each client's counts
alike whatever its number of samples. Everybody starts from the same model. A client that is not in
a round, or whose update is not finite, keeps its model, and its neighbours average without it.

The models of all clients are the strategy's state; the global model is their mean, which nobody
has: it is worked out to be evaluated and kept.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Bool

from fedket.errors import ConfigError
from fedket.topology.graph import Topology, mixing_matrix
from fedket.traffic import Traffic
from fedket.types import (
    Broadcast,
    ClientResult,
    Contribution,
    Params,
    Reducer,
    RoundContext,
    ServerState,
    Strategy,
)

WITH_A_SERVER = (
    "sites are reached through a server, and a federation on a graph has none: it is simulated; "
    "use another engine, or leave [graph] out"
)


class Mixed(NamedTuple):
    """What the reducer of a federation without a centre leaves of all clients, and of whom.

    Attributes:
        models: Leaves (clients, ...); anything where a client is not present.
        present: Whose models were mixed, shape (clients,).
    """

    models: Params
    present: Bool[Array | np.ndarray, " clients"]


def gossip(strategy: Strategy, num_clients: int) -> Strategy:
    """Return the strategy without its server: what is summed is a `Mixed`, see `of_all`.

    Args:
        strategy: One that averages; local training is as it says.
        num_clients: Clients of the graph.

    Raises:
        ConfigError: Its server does more than averaging, or clients remember what it said.
    """
    if not strategy.averages or strategy.memory is not None:
        raise ConfigError(
            "a federation on a graph has no server, and this strategy needs one for more than "
            'averaging; use strategy.kind = "fed_avg" or "fed_prox", or leave [graph] out'
        )
    return strategy._replace(
        init=Partial(_alike, num_clients),
        contribute=_own_model,
        apply=_apart,
        broadcast=_models,
        own_models=True,
    )


def check_graph(graph: Topology, num_samples: Sequence[int]) -> None:
    """Raise `ConfigError` unless the graph is that of these clients, and all of them can train."""
    if graph.num_clients != len(num_samples):
        raise ConfigError(
            f"the graph joins {graph.num_clients} clients, the samples are dealt to "
            f"{len(num_samples)}; make them equal"
        )
    if not all(num_samples):
        raise ConfigError(
            f"client {list(num_samples).index(0)} has no samples, and on a graph every client "
            "trains; deal it some"
        )


def _alike(num_clients: int, params: Params) -> ServerState:
    return jax.tree.map(lambda leaf: jnp.stack([leaf] * num_clients), params)


def _models(models: ServerState, params: Params) -> Broadcast:  # noqa: ARG001
    return Broadcast(models)


def _own_model(params: Params, result: ClientResult) -> Contribution:  # noqa: ARG001
    return result.params


def _apart(models: ServerState, params: Params, total: Contribution) -> tuple[ServerState, Params]:  # noqa: ARG001
    def kept(new: Array, old: Array) -> Array:
        return jnp.where(total.present.reshape(-1, *(1,) * (new.ndim - 1)), new, old)

    models = jax.tree.map(kept, total.models, models)
    return models, mean_model(models)


def mean_model(models: Params) -> Params:
    """Return the mean of stacked models."""
    return jax.tree.map(lambda leaf: leaf.mean(axis=0), models)


def consensus_distance(models: Params) -> float:
    """Root mean square over clients of the distance of a model from their mean (L2 norm)."""
    arrays = [np.asarray(leaf, np.float64) for leaf in jax.tree.leaves(models)]
    squares = sum(float(((a - a.mean(axis=0)) ** 2).sum()) for a in arrays)
    return float(np.sqrt(squares / len(arrays[0])))


def absent_from(topology: Topology, context: RoundContext) -> tuple[int, ...]:
    """Return the clients of a graph that are not in a round."""
    return tuple(sorted(set(range(topology.num_clients)) - set(context.client_ids)))


def of_all(topology: Topology, reducer: Reducer) -> Reducer:
    """Return what gives a `Mixed`, from a reducer such as `mix`."""

    def reduce(contributions: Contribution, context: RoundContext) -> tuple[Contribution, Traffic]:
        models, traffic = reducer(contributions, context)
        present = np.zeros(topology.num_clients, bool)
        present[list(context.client_ids)] = True
        return Mixed(models, present), traffic

    return reduce


def mix(topology: Topology) -> Reducer:
    """Return what takes the place of the sum: everybody's average over its neighbours.

    Leaves (clients, ...) of all clients of the graph, zero for those not in the round. Each model
    goes from its client to every neighbour; the products are summed in float64.
    """

    def reduce(contributions: Contribution, context: RoundContext) -> tuple[Contribution, Traffic]:
        ids = np.array(context.client_ids)
        weights = mixing_matrix(topology, absent_from(topology, context))[ids][:, ids]

        def mixed(leaf: Any) -> np.ndarray:
            rows = np.asarray(leaf)
            everybody = np.zeros((topology.num_clients, *rows.shape[1:]), rows.dtype)
            flat = rows.reshape(len(ids), -1).astype(np.float64)
            everybody[ids] = (weights @ flat).reshape(rows.shape)
            return everybody

        models = jax.tree.map(mixed, contributions)
        num_messages = int(weights.nnz - np.count_nonzero(weights.diagonal()))
        size = sum(leaf[0].nbytes for leaf in jax.tree.leaves(models))
        return models, Traffic(num_messages * size, 0)

    return reduce
