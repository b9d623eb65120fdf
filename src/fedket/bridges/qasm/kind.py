"""A model from an OpenQASM 3 file: `[model] kind = "qasm"`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import PrivateAttr, model_validator

from fedket.bridges.extras import needs_extra
from fedket.bridges.keys import ForeignCircuitKeys
from fedket.bridges.model import ForeignEncoding, program_model
from fedket.models.circuit_keys import check_simulation
from fedket.models.vqc import Readout
from fedket.quantum.noise import NoiseModel
from fedket.quantum.shots import Shots
from fedket.schema import FileBeside, read_beside
from fedket.section import Context, Info
from fedket.types import Model


def qasm_model(
    text: str,
    num_classes: int,
    *,
    source: str = "OpenQASM",
    inputs: tuple[str, ...] = ("x", "inputs"),
    encoding: ForeignEncoding = "inputs",
    readout: Readout = "z",
    observables: tuple[str, ...] = (),
    logit_scale: float = 1.0,
    init_std: float = 0.1,
    noise: NoiseModel | None = None,
    shots: Shots | None = None,
) -> Model:
    """A classifier of an OpenQASM 3 circuit; see `read_qasm` and `program_model`.

    Args:
        text: OpenQASM 3; its `input` parameters are features and weights.
        num_classes: Number of logits.
        source: Name of the file, for messages.
        inputs: Names, without numbers, of the parameters that are features.
        encoding: As of `program_model`.
        readout: As of `vqc`.
        observables: As of `program_model`.
        logit_scale: As of `vqc`.
        init_std: Weights start at N(0, init_std²).
        noise: What follows its gates, as of `vqc`.
        shots: How often circuits are measured, as of `vqc`.

    Raises:
        ConfigError: The package `openqasm3` is missing, or circuit and classes do not suit.
        CircuitError: The text has something that cannot be trained; one line names it.
    """
    with needs_extra("qasm"):
        from fedket.bridges.qasm.reader import read_qasm
    return program_model(
        read_qasm(text, source, inputs).program,
        num_classes,
        origin=source,
        encoding=encoding,
        readout=readout,
        observables=observables,
        logit_scale=logit_scale,
        init_std=init_std,
        noise=noise,
        shots=shots,
    )


class QasmConfig(ForeignCircuitKeys):
    """A circuit in OpenQASM 3, on fedket's own engine."""

    kind: Literal["qasm"] = "qasm"
    file: FileBeside
    """The circuit, a file beside the experiment; a run keeps a copy."""
    _path: Path = PrivateAttr(default=Path())
    _text: str = PrivateAttr(default="")

    @model_validator(mode="after")
    def _read(self, info: Info) -> "QasmConfig":
        self._path = Path((info.context or {}).get("folder", "")) / self.file
        self._text = read_beside(self._path, "model.file", "the circuit")
        return self

    def files(self) -> Mapping[str, Path]:
        """The circuit."""
        return {self.file: self._path}

    def build(self, context: Context) -> Model:
        """The model, for the classes of the data."""
        model = qasm_model(
            self._text,
            context.num_classes,
            source=self.file,
            noise=context.noise,
            shots=context.shots,
            **self.model_dump(exclude={"kind", "file"}),
        )
        check_simulation(model.circuit, context)
        return model
