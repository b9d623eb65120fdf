"""Asynchronous rounds: FedBuff (Nguyen et al. 2022, arXiv:2106.06639, Algorithm 1) over any engine.

A round is K updates that were waiting in a buffer, each from the model that its client was given,
τ rounds ago. Its weight is its share of the buffer's samples times s(τ); the paper has 1/K for the
share. The server sees the sum over the buffer only, so that it may be a masked one: who is done
says so, and the K clients then know of each other and of their samples before anything is sent.
"""

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Bool, Float, Int
from pydantic import Field

from fedket.errors import ConfigError
from fedket.federated.schedule import Update
from fedket.federated.trainer import Attendance, CohortOutcome, Engine
from fedket.schema import NonNegativeFloat, PositiveInt, Table
from fedket.types import Broadcast, Contribution, Params, ServerState, Strategy, model_alone


class Asynchronous(NamedTuple):
    """How asynchronous rounds are made.

    Attributes:
        buffer: Updates of a round (K).
        exponent: a of s(τ) = (1 + τ)^−a, the weight of an update that is τ rounds old.
        weights: s(0), s(1), … instead, the last for all that are older; empty for the formula.
    """

    buffer: int
    exponent: float = 0.5
    weights: tuple[float, ...] = ()

    def factor(self, staleness: np.ndarray) -> np.ndarray:
        """s(τ), shape of `staleness`."""
        given = self.weights or (1.0 + np.arange(staleness.max() + 1)) ** -self.exponent
        found: np.ndarray = np.asarray(given)[np.minimum(staleness, len(given) - 1)]
        return found


class Buffered(NamedTuple):
    """What the server remembers.

    Attributes:
        inner: The strategy's state.
        held: Models that clients in training began from, leaves (places, ...).
        place: Where each client of the round finds its own, shape (clients,); −1: the global one.
        factor: s(τ) of each client of the round, shape (clients,).
        begun: Places whose clients began since the last round that ended with a sum.
        known: That round.
    """

    inner: ServerState
    held: Params
    place: Int[Array | np.ndarray, " clients"]
    factor: Float[Array | np.ndarray, " clients"]
    begun: Bool[Array | np.ndarray, " places"]
    known: Int[Array | np.ndarray, ""]


def buffered(strategy: Strategy, num_clients: int, in_training: int) -> Strategy:
    """Return a strategy whose clients may have begun from older models.

    Raises:
        ConfigError: Clients of the strategy need more than a model, which would be of another age.
    """
    if strategy.memory is not None or strategy.broadcast is not model_alone:
        raise ConfigError(
            "asynchronous rounds are for strategies whose clients are sent the model alone and "
            "remember nothing, such as fed_avg, fed_prox, fed_adam and fed_yogi"
        )
    return strategy._replace(
        init=Partial(_init, strategy.init, (num_clients, in_training)),
        apply=Partial(_apply, strategy.apply),
        broadcast=_broadcast,
        at_client=_at_client,
    )


def _init(init: Callable[[Params], ServerState], sizes: tuple[int, int], params: Params) -> Any:
    num_clients, places = sizes
    return Buffered(
        init(params),
        jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (places, *leaf.shape)), params),
        jnp.full(num_clients, -1, jnp.int32),
        jnp.ones(num_clients, jnp.float32),
        jnp.zeros(places, bool),
        jnp.zeros((), jnp.int32),
    )


def _broadcast(state: Buffered, params: Params) -> Broadcast:
    return Broadcast(params, (state.held, state.place, state.factor))


def _at_client(
    received: Broadcast, client: Int[Array, ""], weight: Float[Array, ""]
) -> tuple[Broadcast, Float[Array, ""]]:
    """What a client began from, and its weight."""
    held, place, factor = received.extra
    own = place[client]
    model = jax.tree.map(lambda h, w: jnp.where(own < 0, w, h[own]), held, received.params)
    return Broadcast(model), weight * factor[client]


def _apply(
    apply: Callable[..., tuple[ServerState, Params]],
    state: Buffered,
    params: Params,
    total: Contribution,
) -> tuple[Buffered, Params]:
    """Keep the model for those who began from it; then the strategy's own step."""
    inner, new = apply(state.inner, params, total)

    def keep(held: Array, leaf: Array) -> Array:
        return jnp.where(state.begun.reshape(-1, *[1] * leaf.ndim), leaf, held)

    return state._replace(inner=inner, held=jax.tree.map(keep, state.held, params)), new


def asynchronous_rounds(
    engine: Engine, how: Asynchronous, update: Callable[[int], Update]
) -> Engine:
    """Return the engine whose rounds are those of a schedule; its strategy is `buffered`.

    A lost round changes no state: models of clients that began in it are the global one still.
    """

    def attend(_: np.ndarray, round_num: int) -> Attendance:
        now = update(round_num)
        ages = dict(zip(now.members.tolist(), (round_num - 1 - now.versions).tolist(), strict=True))
        return Attendance(now.members, now.dropped, now.seconds, ages)

    def run(
        params: Params, server: Buffered, states: Any, cohort: np.ndarray, round_num: int
    ) -> CohortOutcome:
        now, known = update(round_num), int(server.known)
        place, factor = np.full(server.place.shape, -1, np.int32), np.ones(server.factor.shape)
        older = now.versions < known
        place[cohort[older]] = now.slots[older]
        factor[cohort] = how.factor(round_num - 1 - now.versions)
        begun = np.zeros(server.begun.shape, bool)
        begun[[slot for slot, version in now.training.items() if version >= known]] = True
        planned = (place, factor.astype(np.float32), begun, np.int32(round_num))
        server = Buffered(server.inner, server.held, *map(jnp.asarray, planned))
        return engine.run(params, server, states, cohort, round_num)

    return engine._replace(run=run, attend=attend)


def expected_rounds(
    update: Callable[[int], Update], in_training: int, rounds: int, how: Asynchronous
) -> str:
    """Time and age of the first rounds' updates, in words."""
    first = [update(round_num) for round_num in range(1, rounds + 1)]
    ages = np.concatenate([number - u.versions for number, u in enumerate(first)])
    return (
        f"up to {in_training} clients train at the same time; {how.buffer} updates are a round, "
        f"which takes {np.mean([u.seconds for u in first]):.3g} s; updates are {ages.mean():.2g} "
        f"rounds old, {ages.max()} at most (simulated, mean of the first {rounds} rounds)"
    )


class AsynchronousConfig(Table):
    """Rounds that wait for nobody (FedBuff); the clients' speeds are those of `[conditions]`.

    `federation.clients_per_round` clients train at the same time; one that is done makes room for
    another.
    """

    buffer: PositiveInt
    """Updates of a round (K): the server steps as soon as so many have arrived."""
    staleness_exponent: NonNegativeFloat = 0.5
    """a: an update of a model that is τ rounds old weighs (1 + τ)^−a as much."""
    staleness_weights: tuple[Annotated[float, Field(gt=0, le=1)], ...] = ()
    """The weights of τ = 0, 1, … instead, the last one for all that are older."""

    def rounds(self) -> Asynchronous:
        """The same for a federation."""
        return Asynchronous(self.buffer, self.staleness_exponent, self.staleness_weights)

    def caveats(self) -> tuple[str, ...]:
        """What was simulated."""
        return (
            "Asynchronous rounds were simulated from the clients' speeds. Clients that are done "
            "wait until their buffer is full, and none drops out while its sum is formed.",
        )
