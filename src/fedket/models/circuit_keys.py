"""Keys of every model that contains a trained circuit: which one, and how large."""

from typing import Annotated

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from fedket.errors import CircuitError, ConfigError, UserCodeError
from fedket.quantum.circuit import Circuit, make_circuit
from fedket.quantum.memory import check_memory
from fedket.quantum.noise import NoiseModel, check_exact_memory
from fedket.quantum.shots.memory import check_shots_memory
from fedket.schema import PositiveInt
from fedket.section import Context, FunctionOf, NamedFunction, Section, named_function

Qubits = Annotated[int, Field(ge=1, le=24)]


class CircuitKeys(Section):
    """A named circuit, one of the user's own (`circuit = "FILE.py:FUNCTION"`), or gates inline."""

    circuit: Annotated[NamedFunction, FunctionOf("circuit")] = Field(
        default_factory=lambda: named_function("circuit", "qfedfisher")
    )
    """(num_qubits, num_layers) -> circuit."""
    layer: tuple[tuple[str | int, ...], ...] = ()
    """Gates of a layer in place of `circuit`: `[["RY", 0], ["CNOT", 0, 1]]`."""
    num_qubits: Qubits = 6
    num_layers: PositiveInt = 20

    @model_validator(mode="after")
    def _is_named_once(self) -> "CircuitKeys":
        default = type(self).model_fields["circuit"].get_default(call_default_factory=True)
        # A run's own file has every value, the default that `layer` stands in for as well.
        if self.layer and self.circuit != default:
            raise PydanticCustomError("twice", "Input should name `circuit` or `layer`, not both")
        return self

    def check(self, context: Context) -> None:
        """Raise `CircuitError` if a gradient step does not fit, or noise is not served."""
        check_simulation(self.make_circuit(), context)

    def make_circuit(self) -> Circuit:
        """The circuit.

        Raises:
            ConfigError: A gate is written or placed wrongly.
        """
        if self.layer:
            return _inline(self.layer, self.num_qubits, self.num_layers)
        name, function, _ = self.circuit
        circuit = function(self.num_qubits, self.num_layers)
        if not isinstance(circuit, Circuit):
            raise UserCodeError(
                f"circuit `{name}` returned a {type(circuit).__name__}; it should return a "
                "`fedket.Circuit`, for example from `fedket.make_circuit`"
            )
        return circuit


def _inline(gates: tuple[tuple[str | int, ...], ...], num_qubits: int, num_layers: int) -> Circuit:
    for gate in gates:
        name, *qubits = gate or ("",)
        if not isinstance(name, str) or not all(isinstance(q, int) for q in qubits):
            raise ConfigError(f'model.layer holds gates like ["CNOT", 0, 1], got {list(gate)}')
    try:
        return make_circuit(num_qubits, gates, num_layers)  # type: ignore[arg-type]  # checked
    except CircuitError as error:
        raise ConfigError(f"model.layer: {error}") from None


def check_simulation(circuit: Circuit, context: Context) -> None:
    """Raise `CircuitError` if a gradient step of a circuit does not fit into memory."""
    itemsize = 8 if context.dtype == "float64" else 4
    noise, shots, columns = context.noise, context.shots, context.batch_size
    exact = (noise or NoiseModel()).is_exact(circuit)
    if shots is not None and exact:
        check_shots_memory(circuit, noise, shots, context.num_classes, columns, itemsize)
    if noise is not None and exact:
        check_exact_memory(circuit, noise, context.num_classes, itemsize)
        return
    if noise is not None:
        columns *= noise.trajectories
    check_memory(circuit.num_qubits, columns, 2 * itemsize)
