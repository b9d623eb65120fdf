"""A transform of one's own: the magnitudes of an image's Fourier coefficients.

Run it with `python examples/extend/transform.py`, or name it in the list of transforms:
`[[transform]]`, `kind = "transform.py:Spectrum"`.
"""

from functools import partial

import numpy as np

import fedket as fk


def spectrum(dataset: fk.Dataset, side: int) -> fk.Dataset:
    """Keep the `side` × `side` lowest frequencies of images of shape (samples, rows, columns)."""

    def change(x: np.ndarray) -> np.ndarray:
        low = np.abs(np.fft.fft2(x))[:, :side, :side]
        return (low / np.sqrt(np.prod(x.shape[1:]))).astype(np.float32)

    return dataset._replace(x_train=change(dataset.x_train), x_test=change(dataset.x_test))


class Spectrum(fk.Section):
    """The keys of a `[[transform]]`."""

    side: fk.PositiveInt = 4

    def build(self, context: fk.Context) -> fk.Transform:
        """The transform; `fitted=True` would tell sites not to do it by themselves."""
        return fk.Transform(partial(spectrum, side=self.side))


if __name__ == "__main__":
    from first import demonstrate

    data = spectrum(fk.load_dataset("digits", max_train=200, max_test=100), side=4)
    demonstrate(data=data)
