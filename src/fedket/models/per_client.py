"""A model that computes differently on each client: sites have different devices, or networks."""

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
    applies = tuple(m.apply for m in models)
    evaluates = tuple(m.evaluate or m.apply for m in models) if model.evaluate else None
    return model._replace(at_client=partial(_choose, model, applies, evaluates, chosen))


Logits = Callable[..., Float[Array, "batch classes"]]


def _choose(
    model: Model,
    applies: tuple[Logits, ...],
    evaluates: tuple[Logits, ...] | None,
    chosen: tuple[int, ...],
    client: Int[Array, ""],
) -> Model:
    place = jnp.asarray(chosen)[client]
    evaluate = None if evaluates is None else partial(_switch, place, evaluates)
    apply = partial(_switch, place, applies)
    return model._replace(apply=apply, evaluate=evaluate, per_sample_vjp=None, at_client=None)


def _switch(
    place: Int[Array, ""],
    models: tuple[Logits, ...],
    params: Params,
    x: Float[Array, "batch *features"],
    rng: PRNGKeyArray | None = None,
) -> Float[Array, "batch classes"]:
    branches = [partial(_apply, one, rng) for one in models]
    logits: Array = jax.lax.switch(place, branches, params, x)
    return logits


def _apply(
    apply: Callable[..., Array], rng: PRNGKeyArray | None, params: Params, x: Array
) -> Array:
    return apply(params, x, rng)
