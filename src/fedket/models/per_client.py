"""A model that computes differently on each client: sites have different devices."""

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from fedket.types import Model, Params


def per_client(model: Model, models: Sequence[Model], chosen: tuple[int, ...]) -> Model:
    """The model, trained on each client as another of its kind.

    A program holds all of them, and runs the one of its client. Clients that are vectorised would
    each run all.

    Args:
        model: What is evaluated.
        models: Models of the same parameters.
        chosen: Which of them each client trains.
    """
    return model._replace(at_client=partial(_choose, model, tuple(m.apply for m in models), chosen))


def _choose(
    model: Model,
    applies: tuple[Callable[..., Array], ...],
    chosen: tuple[int, ...],
    client: Int[Array, ""],
) -> Model:
    place = jnp.asarray(chosen)[client]

    def apply(
        params: Params, x: Float[Array, "batch *features"], rng: PRNGKeyArray | None = None
    ) -> Float[Array, "batch classes"]:
        branches = [partial(_apply, one, rng) for one in applies]
        logits: Array = jax.lax.switch(place, branches, params, x)
        return logits

    return model._replace(apply=apply, per_sample_vjp=None, at_client=None)


def _apply(
    apply: Callable[..., Array], rng: PRNGKeyArray | None, params: Params, x: Array
) -> Array:
    return apply(params, x, rng)
