"""Noise as an experiment names it: `[noise]`; without the table, circuits are noiseless."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, PrivateAttr, model_validator

from fedket.errors import ConfigError
from fedket.quantum.noise.calibration import read_calibration
from fedket.quantum.noise.model import (
    NoiseModel,
    amplitude_damping,
    depolarising,
    phase_damping,
    readout_error,
)
from fedket.rng import Purpose, numpy_seed
from fedket.schema import (
    FileBeside,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Table,
    read_beside,
)
from fedket.section import Context, Info, Section

Probability = Annotated[float, Field(ge=0, le=1)]

EXACT = "averages over errors are exact"


class NoiseConfig(Section):
    """Base of kinds that may give every client noise of its own."""

    def of_clients(self, context: Context) -> tuple[NoiseModel, ...]:
        """What each client's circuit runs under in training; empty if all run under the same."""
        return ()


class RatesOfClients(Table):
    """How much clients' devices differ."""

    spread: PositiveFloat
    """σ: every rate of a client, read-out errors included, is that of `[noise]` times exp(σ z), z
    normal and one for each client."""


class GatesConfig(NoiseConfig):
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
    clients: RatesOfClients | None = None
    """Rates of each client's own, in training; absent for the same rates everywhere."""

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

    def of_clients(self, context: Context) -> tuple[NoiseModel, ...]:
        """The same with each client's rates, none above 1; read-out errors are at most 1/2."""
        if self.clients is None:
            return ()
        rng = np.random.default_rng(numpy_seed(context.seed, Purpose.NOISE))
        factors = np.exp(self.clients.spread * rng.standard_normal(context.num_clients))
        return tuple(self._times(float(factor)).build(context) for factor in factors)

    def _times(self, factor: float) -> "GatesConfig":
        names = ("one_qubit", "two_qubit", "amplitude_damping", "phase_damping")
        rates: dict[str, Any] = {name: min(factor * getattr(self, name), 1.0) for name in names}
        rates["readout"] = tuple(min(factor * error, 0.5) for error in self.readout)
        return self.model_copy(update=rates)

    def caveats(self) -> tuple[str, ...]:
        """What was simulated."""
        given = self.model_dump(exclude={"kind", "trajectories", "clients"}, exclude_defaults=True)
        rates = ", ".join(f"{name} {value}" for name, value in given.items()) or "all rates 0"
        beyond = f"beyond of {self.trajectories} random Pauli errors a sample"
        own = "" if self.clients is None else f", of clients times exp({self.clients.spread} z)"
        return (
            f"Circuits ran under simulated noise ({rates}{own}); {EXACT} up to 8 qubits, {beyond}.",
        )


class DevicesOfClients(Table):
    """Each client's device."""

    files: Annotated[tuple[FileBeside, ...], Field(min_length=1)]
    """Their properties, one file for each client in order; files may repeat."""


class CalibrationConfig(NoiseConfig):
    """The noise of a device, from the properties that IBM publishes of it (JSON)."""

    kind: Literal["calibration"] = "calibration"
    file: FileBeside
    """The device's properties, a file beside the experiment; a run keeps a copy."""
    qubits: tuple[NonNegativeInt, ...] = ()
    """The device's qubits that the circuit's 0, 1, … are; empty for its first 8."""
    clients: DevicesOfClients | None = None
    """Devices of the clients, in training; absent if all have `file`'s."""
    _folder: Path = PrivateAttr(default=Path())
    _texts: dict[str, str] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _read(self, info: Info) -> "CalibrationConfig":
        self._folder = Path((info.context or {}).get("folder", ""))
        key = "noise.file"
        for file in (self.file, *(self.clients.files if self.clients else ())):
            path = self._folder / file
            self._texts[file] = read_beside(path, key, "the device's properties")
            key = "noise.clients.files"
        return self

    def files(self) -> Mapping[str, Path]:
        """The devices' properties."""
        return {file: self._folder / file for file in self._texts}

    def build(self, context: Context) -> NoiseModel:
        """The device's noise, for circuits as large as the chosen qubits."""
        return read_calibration(self._texts[self.file], self.file, self.qubits)

    def of_clients(self, context: Context) -> tuple[NoiseModel, ...]:
        """Each client's device's noise."""
        if self.clients is None:
            return ()
        files, number = self.clients.files, context.num_clients
        if len(files) != number:
            raise ConfigError(
                f"noise.clients.files names {len(files)} devices for {number} clients; name one "
                "for each"
            )
        return tuple(read_calibration(self._texts[file], file, self.qubits) for file in files)

    def caveats(self) -> tuple[str, ...]:
        """What was simulated, and what was not."""
        return (
            f"Circuits ran under simulated noise, from the calibration {self._named()}: "
            "depolarising and relaxation after each gate, and read-out errors, but no crosstalk "
            "and no drift; "
            f"{EXACT}.",
        )

    def _named(self) -> str:
        if self.clients is None:
            return self.file
        return f"{self.file}, and of clients from {', '.join(dict.fromkeys(self.clients.files))}"
