"""A model from a Qiskit circuit: `[model] kind = "qiskit"`."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray
from pydantic import PrivateAttr, model_validator

from fedket.bridges.decompose import without_controlled_angles
from fedket.bridges.device import Device, Patience
from fedket.bridges.extras import needs_extra
from fedket.bridges.keys import DeviceKeys, Engine, ForeignCircuitKeys
from fedket.bridges.measured import ForeignValues
from fedket.bridges.model import ForeignEncoding, program_model
from fedket.bridges.native import native_run, section_angles
from fedket.bridges.program import CircuitProgram
from fedket.bridges.sections import whole_section
from fedket.errors import ConfigError
from fedket.models.circuit_keys import check_simulation
from fedket.models.vqc import Readout
from fedket.quantum.noise import NoiseModel
from fedket.quantum.shots import Shots
from fedket.schema import NonNegativeInt
from fedket.section import Context, FunctionOf, Info, NamedFunction
from fedket.types import Model
from fedket.user_code import load_from_file, naming_users_lines


def qiskit_model(
    circuit: Any,
    num_classes: int,
    *,
    name: str = "the circuit",
    inputs: tuple[str, ...] = ("x", "inputs"),
    encoding: ForeignEncoding = "inputs",
    readout: Readout = "z",
    observables: tuple[str, ...] = (),
    logit_scale: float = 1.0,
    init_std: float = 0.1,
    engine: Engine = "auto",
    backend: Any = None,
    backend_name: str = "",
    shots: int = 0,
    patience: Patience = Patience(),  # noqa: B008 - a tuple of numbers
    noise: NoiseModel | None = None,
    engine_shots: Shots | None = None,
) -> Model:
    """A classifier of a Qiskit circuit, whose weights are in the order of `circuit.parameters`.

    Args:
        circuit: A `QuantumCircuit`, or a function that returns one.
        num_classes: Number of logits.
        name: What the circuit is called, for messages.
        inputs: Names, without numbers, of the parameters that are features.
        encoding: As of `program_model`.
        readout: As of `vqc`.
        observables: As of `program_model`.
        logit_scale: As of `vqc`.
        init_std: Weights start at N(0, init_std²).
        engine: `native`: fedket's engine; `device`: the backend; `auto`: the backend if there is
            one.
        backend: A Qiskit backend, or an estimator of its V2 primitives.
        backend_name: `aer` or `ibm:NAME` in place of one, else what it is called.
        shots: Of each circuit on the backend; 0 is exact on `aer`, the backend's default elsewhere.
        patience: How long a backend is waited for.
        noise: What follows the gates on fedket's engine, as of `vqc`.
        engine_shots: How often circuits are measured there, as of `vqc`.

    Raises:
        ConfigError: Circuit, classes and backend do not suit each other, or the translation
            disagrees with Qiskit.
        CircuitError: The circuit has something that cannot be trained; one line names it.
    """
    with needs_extra("qiskit"):
        from fedket.bridges.qiskit import read
    found = read.circuit_of(circuit, name)
    program = read.read_circuit(found, name, inputs)
    make = partial(
        program_model,
        program,
        num_classes,
        origin=name,
        encoding=encoding,
        readout=readout,
        observables=observables,
        logit_scale=logit_scale,
        init_std=init_std,
        noise=noise,
        shots=engine_shots,
    )
    named = backend is not None or bool(backend_name)
    if engine == "device" and not named:
        raise ConfigError(
            'model.engine = "device" needs model.backend: "aer", "ibm:NAME" or "FILE.py:NAME"'
        )
    if engine == "native" or not named:
        off = _disagreement(found, inputs, program)
        if off > AGREES:
            raise ConfigError(f"{name} and its translation differ by {off:.2g}; tell us of it")
        return make(checked=f"agrees with Qiskit to {off:.0e} on random parameters")
    if encoding != "inputs":
        raise ConfigError(
            f'model.encoding = "{encoding}" is fedket\'s own; a circuit on a backend reads its '
            "features itself"
        )
    place = backend_name or type(backend).__name__
    return make(make_device=partial(_device, program, backend, place, shots, patience))


AGREES = 1e-9
"""Largest 1 − |overlap| of a translation's state with Qiskit's."""


def _disagreement(circuit: Any, inputs: tuple[str, ...], program: CircuitProgram) -> float:
    from fedket.bridges.qiskit.read import largest_disagreement

    with jax.enable_x64(True):
        run = jax.jit(native_run(program))
        draws = 3 if program.num_qubits <= 12 else 1
        return largest_disagreement(
            circuit, inputs, lambda w, x: run(jnp.asarray(w), jnp.asarray(x)), draws
        )


def _device(
    program: CircuitProgram,
    backend: Any,
    name: str,
    shots: int,
    patience: Patience,
    strings: tuple[str, ...],
) -> tuple[ForeignValues, Device, str]:
    """Values of Pauli strings on a backend, what calls it, and that in words."""
    with needs_extra("qiskit"):
        from fedket.bridges.qiskit.estimate import estimated, open_backend

        opened = open_backend(backend, name, shots)
    operations = without_controlled_angles(program.operations)
    device = Device(estimated(opened, program.num_qubits, operations, strings), patience)
    section = whole_section(operations, program.num_qubits, program.num_weights)
    flat = [angle for operation in operations for angle in operation.angles]
    wanted = [place for place, angle in enumerate(flat) if angle.terms]
    trained = sum(flat[place].of_weights for place in wanted)

    def values(weights: Array, x: Array, rng: PRNGKeyArray | None) -> Array:  # noqa: ARG001
        rows = jax.vmap(partial(section_angles, section, weights))(x, None)[:, wanted]
        return device(weights[:0], rows)

    words = (
        f"device `{opened.name}`, {program.num_qubits} qubits, by {2 * trained} shifted circuits a "
        "sample and gradient"
    )
    exact = opened.precision == 0.0
    return values, device, words if exact else f"{words}; estimates, so that no run repeats another"


class QiskitConfig(ForeignCircuitKeys, DeviceKeys):
    """A Qiskit circuit of the user's own file."""

    kind: Literal["qiskit"] = "qiskit"
    circuit: Annotated[NamedFunction, FunctionOf("circuit")]
    """The `QuantumCircuit`, or a function that returns it: `FILE.py:NAME`."""
    backend: str = ""
    """Where it runs if not on fedket's engine: `aer`, `ibm:NAME` (the account that Qiskit keeps),
    or `FILE.py:NAME`, a backend or V2 estimator of your own."""
    shots: NonNegativeInt = 0
    """Of each circuit on the backend; 0 is exact on `aer`, the backend's default elsewhere."""
    _backend: Any = PrivateAttr(default=None)
    _file: Path | None = PrivateAttr(default=None)

    @model_validator(mode="after")
    def _open(self, info: Info) -> "QiskitConfig":
        if ".py:" in self.backend:
            folder = Path((info.context or {}).get("folder", ""))
            self._backend = load_from_file("model.backend", self.backend, folder)
            self._file = folder / self.backend.partition(":")[0]
        elif self.backend and self.backend != "aer" and not self.backend.startswith("ibm:"):
            raise ConfigError(
                f'model.backend is "{self.backend}"; it should be "aer", "ibm:NAME" or '
                '"FILE.py:NAME"'
            )
        return self

    @property
    def asks_for_device(self) -> bool:
        """Whether the circuit must run elsewhere than on fedket's engine."""
        return self.engine == "device" or bool(self.backend and self.engine == "auto")

    def files(self) -> Mapping[str, Path]:
        """The backend's file."""
        return {} if self._file is None else {self.backend.partition(":")[0]: self._file}

    def build(self, context: Context) -> Model:
        """The model, for the classes of the data."""
        keys = ForeignCircuitKeys.model_fields.keys() - {"kind"}
        with naming_users_lines():
            model = qiskit_model(
                self.circuit.function,
                context.num_classes,
                name=f"circuit `{self.circuit.name}`",
                engine=self.engine,
                backend=self._backend,
                backend_name=self.backend,
                shots=self.shots,
                patience=self.patience,
                noise=context.noise,
                engine_shots=context.shots,
                **self.model_dump(include=set(keys)),
            )
        if model.device is None:
            check_simulation(model.circuit, context)
        return model
