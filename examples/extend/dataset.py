"""A data set of one's own: two interleaved spirals, made on the spot.

Run it with `python examples/extend/dataset.py`, or name it: `[data] kind = "dataset.py:Spirals"`.
Samples that already lie in a file need no code: `[data] kind = "npz"`, `path = "mine.npz"`.
"""

import numpy as np

import fedket as fk


def spirals(num_train: int, num_test: int, turns: float, rng: np.random.Generator) -> fk.Dataset:
    """Points of two spirals in [−1, 1]², shape (samples, 2), float32; labels 0 and 1."""
    y = rng.integers(0, 2, num_train + num_test).astype(np.int32)
    radius = np.sqrt(rng.uniform(0.02, 1, y.size))
    angle = 2 * np.pi * turns * radius + np.pi * y
    x = (radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)).astype(np.float32)
    return fk.Dataset("spirals", x[:num_train], y[:num_train], x[num_train:], y[num_train:], 2)


class Spirals(fk.Section):
    """The keys of `[data]`."""

    num_train: fk.PositiveInt = 400
    num_test: fk.PositiveInt = 200
    turns: fk.PositiveFloat = 0.75

    def build(self, context: fk.Context) -> fk.Dataset:
        """The data set, a function of the experiment's seed."""
        return spirals(self.num_train, self.num_test, self.turns, context.rng)


if __name__ == "__main__":
    from first import demonstrate

    data = spirals(400, 200, 0.75, np.random.default_rng(0))
    demonstrate(data=data, model=fk.mlp(2, 2, (16,)))
