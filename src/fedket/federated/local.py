"""Local training on one client: E epochs of shuffled mini-batches, any optax optimiser.

Written for one client; engines vectorise it. Steps beyond a client's own samples never run: the
number of steps is a run-time value, so one compiled program serves clients of every size.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int, Num, PRNGKeyArray

from fedket.federated.learning_rates import Schedule, scaled_updates
from fedket.federated.losses import Loss, cross_entropy, objective_of
from fedket.federated.program import Number
from fedket.types import Model, Params

OptState = Any

Carry = tuple[Params, OptState, Array, Params | None]
"""Parameters, optimiser state, sum of losses and, if asked for, of gradients."""


Gradient = Callable[..., tuple[Params, Float[Array, ""]]]
"""(model, loss, params, x, y, valid, rng) -> a gradient of a batch's mean loss, and that loss."""


class LocalTraining(NamedTuple):
    """How a client trains.

    Attributes:
        optimizer: Any optax gradient transformation.
        epochs: Passes over the client's samples per round (E).
        batch_size: Samples per step (B); the last batch of an epoch may be smaller.
        persistent: Whether the optimiser state lives on between rounds.
        loss: What is measured, per sample, and minimised.
        gradient: What stands for the gradient of a batch; None for the gradient itself.
        class_weights: What the loss of a sample of each class is multiplied by in training; None
            for 1.
        schedule: Round, from 1 -> what the learning rate is multiplied by; None for 1.
    """

    optimizer: optax.GradientTransformation
    epochs: int = 1
    batch_size: int = 32
    persistent: bool = False
    loss: Loss = cross_entropy
    gradient: Gradient | None = None
    class_weights: Float[Array, " classes"] | None = None
    schedule: Schedule | None = None

    @property
    def objective(self) -> Loss:
        """What is minimised, per sample: the loss, weighted by class."""
        return objective_of(self.loss, self.class_weights)

    def in_round(self, round_num: Int[Array, ""] | int) -> "LocalTraining":
        """The same with the learning rate of a round."""
        if self.schedule is None:
            return self
        factor = jnp.asarray(self.schedule(jnp.asarray(round_num)))
        return self._replace(optimizer=scaled_updates(self.optimizer, factor), schedule=None)


class LocalResult(NamedTuple):
    """Outcome of local training.

    Attributes:
        params: Trained parameters.
        opt_state: Optimiser state after the last step.
        loss: Mean training loss over all samples and epochs, before each step.
        steps: Steps that were taken.
        gradient: Mean of the loss's gradients over the steps; None unless asked for.
    """

    params: Params
    opt_state: OptState
    loss: Float[Array, ""]
    steps: Float[Array, ""]
    gradient: Params | None = None


def masked_loss(
    logits: Float[Array, "batch classes"],
    y: Num[Array, " batch"],
    mask: Bool[Array, " batch"],
    loss: Loss = cross_entropy,
) -> Float[Array, ""]:
    """Mean loss over the samples whose mask is set."""
    return jnp.sum(jnp.where(mask, loss(logits, y), 0)) / jnp.maximum(mask.sum(), 1)


def local_train(
    model: Model,
    training: LocalTraining,
    proximal_mu: Number | None,
    params: Params,
    opt_state: OptState,
    x: Float[Array, "samples *features"],
    y: Num[Array, " samples"],
    rows: Int[Array, " length"],
    mask: Bool[Array, " length"],
    rng: PRNGKeyArray,
    correct: Callable[[Params, Params], Params] | None = None,
    mean_gradient: bool = False,
    anchor: Params | None = None,
) -> LocalResult:
    """Train from `params`, the global model, on one client's samples, `rows` of `x` and `y`.

    The objective is the mean loss plus μ/2·‖w − w_global‖² (FedProx, arXiv:1812.06127, eq. 2) with
    μ = `proximal_mu`, None for the mean loss alone; `anchor` is w_global where training starts
    elsewhere; padding of the rows (mask False) changes
    nothing, not even the order of the samples. Samples are read batch by batch, never copied.
    `correct` is (parameters, gradient) -> what the optimiser gets for the gradient.
    """
    size = training.batch_size
    num_samples = mask.sum()
    optimizer = optax.with_extra_args_support(training.optimizer)
    num_batches = (num_samples + size - 1) // size
    objective_loss = training.objective
    pulled_to = params if anchor is None else anchor

    def objective(
        w: Params, batch: Int[Array, " batch"], valid: Bool[Array, " batch"], step_rng: PRNGKeyArray
    ) -> tuple[Float[Array, ""], Float[Array, ""]]:
        samples = rows[batch]
        logits = model.apply(w, x[samples], step_rng)
        loss = masked_loss(logits, y[samples], valid, objective_loss)
        if proximal_mu is None:
            return loss, loss
        return loss + proximal_term(proximal_mu, w, pulled_to), loss

    def gradient_of(
        w: Params, batch: Int[Array, " batch"], valid: Bool[Array, " batch"], step_rng: PRNGKeyArray
    ) -> tuple[Params, Float[Array, ""]]:
        if training.gradient is None:
            exact: tuple[Params, Array] = jax.grad(objective, has_aux=True)(
                w, batch, valid, step_rng
            )
            return exact
        data = x[rows[batch]], y[rows[batch]], valid
        grad, loss = training.gradient(model, objective_loss, w, *data, step_rng)
        if proximal_mu is not None:
            pull = jax.grad(proximal_term, argnums=1)(proximal_mu, w, pulled_to)
            grad = jax.tree.map(jnp.add, grad, pull)
        return grad, loss

    def epoch(e: Int[Array, ""], carry: Carry) -> Any:
        epoch_rng = jax.random.fold_in(rng, e)
        order = shuffled(epoch_rng, mask, size)

        def step(b: Int[Array, ""], carry: Carry) -> Any:
            w, state, total, gradients = carry
            batch = jax.lax.dynamic_slice_in_dim(order, b * size, size)
            valid = b * size + jnp.arange(size) < num_samples
            step_rng = jax.random.fold_in(epoch_rng, b)
            grad, loss = gradient_of(w, batch, valid, step_rng)
            if mean_gradient:
                gradients = jax.tree.map(jnp.add, gradients, grad)
            if correct is not None:
                grad = correct(w, grad)
            # Computed only by an optimiser that asks for it.
            metric = model.metric and partial(model.metric, w, x[rows[batch]], valid)
            updates, state = optimizer.update(grad, state, w, metric=metric)
            return optax.apply_updates(w, updates), state, total + loss * valid.sum(), gradients

        return jax.lax.fori_loop(0, num_batches, step, carry)

    zeros = jax.tree.map(jnp.zeros_like, params) if mean_gradient else None
    start = params, opt_state, jnp.zeros((), x.dtype), zeros
    params, opt_state, total, sums = jax.lax.fori_loop(0, training.epochs, epoch, start)
    steps = (training.epochs * num_batches).astype(x.dtype)
    gradient = jax.tree.map(lambda leaf: leaf / steps, sums)
    loss = total / (training.epochs * num_samples)
    return LocalResult(params, opt_state, loss, steps, gradient)


def proximal_term(mu: Number, params: Params, anchor: Params) -> Float[Array, ""]:
    """μ/2·‖params − anchor‖²."""
    squares = jax.tree.map(lambda a, b: jnp.sum((a - b) ** 2), params, anchor)
    return 0.5 * mu * jnp.stack(jax.tree.leaves(squares)).sum()


def shuffled(rng: PRNGKeyArray, mask: Bool[Array, " samples"], size: int) -> Int[Array, " padded"]:
    """Indices of valid samples in random order, then the rest, padded to a multiple of `size`.

    Sample i's ticket depends on `rng` and i alone (JAX's partitionable generator), so padding
    cannot change the order.
    """
    ticket = jnp.where(mask, jax.random.uniform(rng, mask.shape), 2.0)
    return jnp.pad(_ascending(ticket), (0, -mask.size % size))


def _ascending(ticket: Float[Array, " samples"]) -> Int[Array, " samples"]:
    """Indices that sort positive numbers, equal ones in their order: `jnp.argsort`.

    On CPUs XLA sorts pairs ten times slower than words. The bits of a positive float32 sort as it
    does, so bits and index make one word of 64 bits, in whatever precision the rest is.
    """
    if ticket.dtype != jnp.float32:
        return jnp.argsort(ticket)
    bits = jax.lax.bitcast_convert_type(ticket, jnp.uint32)
    with jax.enable_x64(True):
        words = (bits.astype(jnp.uint64) << 32) | jnp.arange(ticket.size, dtype=jnp.uint64)
        return jnp.sort(words).astype(jnp.uint32).astype(jnp.int32)
