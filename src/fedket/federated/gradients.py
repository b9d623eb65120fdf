"""Gradients of the global model, layer by layer: a circuit on a barren plateau has next to none.

McClean et al. 2018 (arXiv:1803.11173) look at the variance of derivatives over random angles
(`fedket.quantum.plateau`); of one model in training there are the derivatives of a layer's
parameters, and what is reported is their norm and their variance over the layer.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Num

from fedket.federated.local import masked_loss
from fedket.federated.losses import Loss
from fedket.federated.program import Program
from fedket.record import LayerGradient
from fedket.types import Model, Params

GRADIENT_SAMPLES = 512
"""Test samples whose mean loss is differentiated, at most."""


def make_gradient_meter(
    model: Model, loss: Loss, x: Array, y: Array, batch: int
) -> Callable[[Params], dict[str, LayerGradient]]:
    """Return a function from parameters to the gradient of each layer, by name.

    The gradient is that of the mean loss of up to `GRADIENT_SAMPLES` samples, spread evenly over
    those given, of the model as `apply` gives it without `rng`: no dropout, infinitely many shots.
    A leaf whose first axis counts layers (`Model.layered`) is `path.0`, `path.1`, …, any other is
    one layer, `path`; the path of parameters that are a single array is `layer`.

    Args:
        model: The model.
        loss: Per sample.
        x: Samples, at least one.
        y: Their labels.
        batch: Samples differentiated at a time.
    """
    some = np.linspace(0, len(y) - 1, min(len(y), GRADIENT_SAMPLES)).astype(int)
    program = Program(_gradient, (model.apply, loss, batch))
    xs, ys = x[some], y[some]

    def measure(params: Params) -> dict[str, LayerGradient]:
        gradient = program(params, xs, ys)
        layered = jax.tree.map(
            lambda flag, part: jax.tree.map(lambda _: flag, part), model.layered, gradient
        )
        found = {}
        leaves = jax.tree_util.tree_leaves_with_path(gradient)
        for (path, leaf), has_layers in zip(leaves, jax.tree.leaves(layered), strict=True):
            name = jax.tree_util.keystr(path, simple=True, separator=".") or "layer"
            values = np.asarray(leaf, np.float64)
            rows = values.reshape(len(values) if has_layers else 1, -1)
            for number, row in enumerate(rows):
                own = LayerGradient(norm=float(np.linalg.norm(row)), variance=float(row.var()))
                found[f"{name}.{number}" if has_layers else name] = own
        return found

    return measure


def no_gradients(params: Params) -> dict[str, LayerGradient]:  # noqa: ARG001
    """What nobody asked for."""
    return {}


def _gradient(
    bound: tuple[Callable[..., Array], Loss, int],
    params: Params,
    x: Float[Array, "samples *features"],
    y: Num[Array, " samples"],
) -> Params:
    """Gradient of the mean loss, batch by batch."""
    apply, loss, size = bound
    count = x.shape[0]
    order = jnp.pad(jnp.arange(count), (0, -count % size)).reshape(-1, size)

    def add_batch(b: Int[Array, ""], total: Params) -> Params:
        valid = b * size + jnp.arange(size) < count

        def share(w: Params) -> Float[Array, ""]:
            mean = masked_loss(apply(w, x[order[b]]), y[order[b]], valid, loss)
            return mean * valid.sum() / count

        return jax.tree.map(jnp.add, total, jax.grad(share)(params))

    zeros: Any = jax.tree.map(jnp.zeros_like, params)
    return jax.lax.fori_loop(0, len(order), add_batch, zeros)
