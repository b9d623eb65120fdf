"""Noise of one's own: gates on two qubits leave a phase behind that is correlated between them.

Run it with `python examples/extend/noise.py`, or name it: `[noise] kind = "noise.py:Correlated"`.
"""

import fedket as fk


def correlated(rate: float) -> fk.noise.NoiseModel:
    """Z on both qubits with probability `rate` after every gate on two qubits."""
    return fk.noise.after(fk.noise.channels.pauli({"ZZ": rate}))


class Correlated(fk.Section):
    """The keys of `[noise]`."""

    rate: fk.PositiveFloat = 0.01

    def build(self, context: fk.Context) -> fk.noise.NoiseModel:
        """The noise model."""
        return correlated(self.rate)


if __name__ == "__main__":
    from first import demonstrate

    demonstrate(model=fk.vqc(fk.ansatz.qunetqfl(6, 2), 10, noise=correlated(0.01)))
