"""Noise as an experiment names it: `[noise]`; without the table, circuits are noiseless."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PrivateAttr, model_validator

from fedket.quantum.noise.calibration import read_calibration
from fedket.quantum.noise.model import (
    NoiseModel,
    amplitude_damping,
    depolarising,
    phase_damping,
    readout_error,
)
from fedket.schema import FileBeside, NonNegativeInt, PositiveInt, read_beside
from fedket.section import Context, Info, Section

Probability = Annotated[float, Field(ge=0, le=1)]

EXACT = "averages over errors are exact"


class GatesConfig(Section):
    """The same noise after all gates, and read-out errors; every rate is 0 unless it is given."""

    kind: Literal["gates"] = "gates"
    one_qubit: Annotated[float, Field(ge=0, le=4 / 3)] = 0.0
    """Depolarising rate λ after gates on one qubit: ρ → (1 − λ) ρ + λ I / 2."""
    two_qubit: Annotated[float, Field(ge=0, le=16 / 15)] = 0.0
    """Depolarising rate λ after gates on two qubits: ρ → (1 − λ) ρ + λ I / 4."""
    amplitude_damping: Probability = 0.0
    """Probability that a qubit decays to |0⟩ after a gate on it."""
    phase_damping: Probability = 0.0
    """Loss of phase after a gate: X and Y of its qubits shrink by √(1 − this)."""
    readout: tuple[Probability, Probability] = (0.0, 0.0)
    """Probabilities to read 1 for 0, and 0 for 1."""
    trajectories: PositiveInt = 8
    """Random Pauli errors that are averaged for each sample of a circuit of more than 8 qubits."""

    def build(self, context: Context) -> NoiseModel:
        """The noise model; rates of 0 leave no rule."""
        model = NoiseModel(trajectories=self.trajectories)
        if self.one_qubit or self.two_qubit:
            model += depolarising(self.one_qubit, self.two_qubit)
        if self.amplitude_damping:
            model += amplitude_damping(self.amplitude_damping)
        if self.phase_damping:
            model += phase_damping(self.phase_damping)
        return model + readout_error(*self.readout) if any(self.readout) else model

    def caveats(self) -> tuple[str, ...]:
        """What was simulated."""
        given = self.model_dump(exclude={"kind", "trajectories"}, exclude_defaults=True)
        rates = ", ".join(f"{name} {value}" for name, value in given.items()) or "all rates 0"
        beyond = f"beyond of {self.trajectories} random Pauli errors a sample"
        return (f"Circuits ran under simulated noise ({rates}); {EXACT} up to 8 qubits, {beyond}.",)


class CalibrationConfig(Section):
    """The noise of a device, from the properties that IBM publishes of it (JSON)."""

    kind: Literal["calibration"] = "calibration"
    file: FileBeside
    """The device's properties, a file beside the experiment; a run keeps a copy."""
    qubits: tuple[NonNegativeInt, ...] = ()
    """The device's qubits that the circuit's 0, 1, … are; empty for its first 8."""
    _path: Path = PrivateAttr(default=Path())
    _text: str = PrivateAttr(default="")

    @model_validator(mode="after")
    def _read(self, info: Info) -> "CalibrationConfig":
        self._path = Path((info.context or {}).get("folder", "")) / self.file
        self._text = read_beside(self._path, "noise.file", "the device's properties")
        return self

    def files(self) -> Mapping[str, Path]:
        """The device's properties."""
        return {self.file: self._path}

    def build(self, context: Context) -> NoiseModel:
        """The device's noise, for circuits as large as the chosen qubits."""
        return read_calibration(self._text, self.file, self.qubits)

    def caveats(self) -> tuple[str, ...]:
        """What was simulated, and what was not."""
        return (
            f"Circuits ran under simulated noise, from the calibration {self.file}: depolarising "
            "and relaxation after each gate, and read-out errors, but no crosstalk and no drift; "
            f"{EXACT}.",
        )
