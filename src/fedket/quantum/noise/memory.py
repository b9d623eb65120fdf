"""How much memory exact noise will take, estimated before anything compiles."""

from fedket.errors import CircuitError
from fedket.quantum.circuit import Circuit
from fedket.quantum.memory import available_bytes
from fedket.quantum.noise.model import NoiseModel
from fedket.quantum.noise.plan import plan_noisy

WORKING_COPIES = 14
"""Live copies of the observables beside what is kept, complex matrices included: 10 to 13 were
seen in compiled gradients of 6 and 8 qubits."""


def exact_bytes(circuit: Circuit, noise: NoiseModel, num_values: int, itemsize: int = 4) -> int:
    """Bytes of one gradient of `num_values` observables: every trainable block keeps its result.

    Args:
        circuit: The circuit, of at most 8 qubits.
        noise: What follows its gates.
        num_values: Observables that are measured; the batch does not matter.
        itemsize: Bytes of a real number.
    """
    kept = circuit.num_layers * sum(block.trainable for block in plan_noisy(circuit, noise))
    return (kept + WORKING_COPIES) * num_values * (1 << 2 * circuit.num_qubits) * itemsize


def check_exact_memory(
    circuit: Circuit, noise: NoiseModel, num_values: int, itemsize: int = 4
) -> None:
    """Raise `CircuitError` if a gradient would not fit into the available memory."""
    needed = exact_bytes(circuit, noise, num_values, itemsize)
    available = available_bytes()
    if needed > available:
        raise CircuitError(
            f"a gradient of {num_values} values under exact noise, {circuit.num_qubits} qubits and "
            f"{circuit.num_layers} layers, needs about {needed / 2**30:.1f} GiB, "
            f"{available / 2**30:.1f} GiB are available; use fewer qubits or layers"
        )
