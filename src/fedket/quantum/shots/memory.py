"""How much memory finite shots will take, estimated before anything compiles."""

from fedket.errors import CircuitError
from fedket.quantum.circuit import Circuit
from fedket.quantum.memory import available_bytes
from fedket.quantum.noise.model import NoiseModel
from fedket.quantum.noise.plan import plan_noisy
from fedket.quantum.shots.settings import Shots

WORKING_COPIES = 10
"""Live copies of the states' Pauli averages, complex ones included."""


def shots_bytes(
    circuit: Circuit,
    noise: NoiseModel | None,
    shots: Shots,
    num_values: int,
    batch: int,
    itemsize: int = 4,
) -> int:
    """Bytes of one gradient beside the states themselves, on up to 8 qubits.

    States of a noisy circuit are arrays of 4**n numbers; shifted values need them as well, the
    observables of every layer, and a small matrix for each gate, sample and value.
    """
    shifts = shots.gradient == "parameter_shift"
    if noise is None and not shifts:
        return 0
    strings = 1 << 2 * circuit.num_qubits
    numbers = WORKING_COPIES * batch * strings
    if shifts:
        blocks = [b for b in plan_noisy(circuit, noise or NoiseModel()) if b.trainable]
        factors = sum(len(b.singles) + 16 * len(b.pairs) for b in blocks)
        layers = circuit.num_layers
        numbers += layers * len(blocks) * num_values * strings
        numbers += layers * batch * num_values * (16 * factors + 2 * circuit.num_slots)
    return numbers * itemsize


def check_shots_memory(
    circuit: Circuit,
    noise: NoiseModel | None,
    shots: Shots,
    num_values: int,
    batch: int,
    itemsize: int = 4,
) -> None:
    """Raise `CircuitError` if that would not fit into the available memory."""
    needed = shots_bytes(circuit, noise, shots, num_values, batch, itemsize)
    available = available_bytes()
    if needed > available:
        raise CircuitError(
            f"a gradient of {num_values} values from shots of {batch} samples, "
            f"{circuit.num_qubits} qubits and {circuit.num_layers} layers, needs about "
            f"{needed / 2**30:.1f} GiB, {available / 2**30:.1f} GiB are available; use a smaller "
            'training.batch_size, or shots.gradient = "spsa"'
        )
