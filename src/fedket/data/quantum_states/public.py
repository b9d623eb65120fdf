"""NTangled's public generator weights (arXiv:2109.03400), re-packed in `ntangled_weights.npz`.

Only hardware-efficient sets: `hwe_<n>q_<inputs>_<goal × 100>_<layers>`, shape (layers, n, 3).
"""

from pathlib import Path

from fedket.data.npz import read_arrays
from fedket.data.quantum_states.generators import Generator, from_weights
from fedket.errors import DataError

FILE = "ntangled_weights.npz"

SETS: dict[tuple[int, float], str] = {
    **{(n, goal / 100): f"hwe_{n}q_ps_{goal}" for n in (3, 4) for goal in (5, 15, 25, 35)},
    (8, 0.10): "hwe_8q_cb_10",
    (8, 0.15): "hwe_8q_cb_15",
    (8, 0.25): "hwe_8q_cb_25",
    (8, 0.40): "hwe_8q_cb_45",  # the source swapped the names of these two: measured .399 ± .010
    (8, 0.45): "hwe_8q_cb_40",  # and .450 ± .003
}
"""(qubits, concentratable entanglement) -> name without the number of layers."""


def public_generator(directory: Path, num_qubits: int, target: float, num_layers: int) -> Generator:
    """A generator with public weights.

    Args:
        directory: Where `ntangled_weights.npz` lies.
        num_qubits: 3, 4 or 8.
        target: Goal of concentratable entanglement, one of those in `SETS`.
        num_layers: Depth of the weights.

    Raises:
        DataError: There is no such file, or no such weights in it.
    """
    name = SETS.get((num_qubits, round(target, 4)))
    if name is None:
        known = ", ".join(f"{goal:g}" for n, goal in SETS if n == num_qubits) or "none"
        raise DataError(
            f"no public generator of {num_qubits} qubits makes entanglement {target:g} (of "
            f'{num_qubits} qubits: {known}); choose from these, or data.generator = "trained"'
        )
    path = directory / FILE
    if not path.is_file():
        raise DataError(
            f"no file at {path}; set FEDKET_DATA to the folder with NTangled's weights, or "
            f'use data.generator = "trained"'
        )
    arrays = read_arrays(path)
    weights = arrays.get(f"{name}_{num_layers}")
    if weights is None:
        depths = [key.rpartition("_")[2] for key in arrays if key.rpartition("_")[0] == name]
        shown = ", ".join(sorted(depths, key=lambda d: (len(d), d))) or "none"
        raise DataError(
            f"{path} has `{name}` with {shown} layers, not {num_layers}; correct "
            f"`data.generator_layers`"
        )
    if weights.ndim != 3 or weights.shape != (num_layers, num_qubits, 3):
        raise DataError(f"{path}: `{name}_{num_layers}` has shape {weights.shape}; get it again")
    return from_weights(weights)
