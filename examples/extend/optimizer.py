"""An optimiser of one's own for local training: any optax transformation.

Run it with `python examples/extend/optimizer.py`, or name it:
`[optimizer] kind = "optimizer.py:Lion"`.
"""

import optax

import fedket as fk


class Lion(fk.Section):
    """The keys of `[optimizer]`: Lion (Chen et al. 2023, arXiv:2302.06675)."""

    learning_rate: fk.PositiveFloat = 0.01
    beta1: fk.PositiveFloat = 0.9

    def build(self, context: fk.Context) -> optax.GradientTransformation:
        """The transformation."""
        return optax.lion(self.learning_rate, b1=self.beta1)


if __name__ == "__main__":
    from first import demonstrate

    demonstrate(training=fk.LocalTraining(optax.lion(0.01), epochs=5, batch_size=8))
