"""A loss of one's own: cross-entropy that cares less about samples that are easy (focal loss).

Run it with `python examples/extend/loss.py`, or name it: `[training] loss = "loss.py:focal"`.
"""

import jax
import jax.numpy as jnp
import optax

import fedket as fk


def focal(logits: jax.Array, y: jax.Array) -> jax.Array:
    """−(1 − p)² log p of the label's probability p (Lin et al. 2017, arXiv:1708.02002).

    Args:
        logits: Shape (batch, classes).
        y: Labels, shape (batch,).

    Returns:
        One number per sample, shape (batch,).
    """
    log_p = jnp.take_along_axis(jax.nn.log_softmax(logits), y[:, None], axis=1)[:, 0]
    return -((1 - jnp.exp(log_p)) ** 2) * log_p


if __name__ == "__main__":
    from first import demonstrate

    training = fk.LocalTraining(optax.adam(0.05), epochs=5, batch_size=8, loss=focal)
    demonstrate(training=training)
