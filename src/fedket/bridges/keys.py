"""Keys of every model whose circuit was written elsewhere and runs on fedket's own engine."""

from typing import Annotated, Literal

from pydantic import Field

from fedket.bridges.device import Patience
from fedket.bridges.model import ForeignEncoding
from fedket.models.vqc import Readout
from fedket.schema import NonNegativeInt, PositiveFloat
from fedket.section import Section


class ForeignCircuitKeys(Section):
    """How features enter a foreign circuit, and what is read from it."""

    inputs: tuple[str, ...] = ("x", "inputs")
    """Parameters that are features of the sample, in their order: names without numbers (`x` for
    `x0`, `x_1`, `x[2]`). All others are trained."""
    encoding: ForeignEncoding = "inputs"
    """`inputs`: the circuit reads the features itself. Else fedket encodes them before it, as in
    `vqc`."""
    readout: Readout = "z"
    """Expectation values (or probabilities) that become logits, one per class."""
    observables: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """In place of `readout`: a Pauli string per class, `["Z0", "Z0 Z1"]`; a single one for two
    classes."""
    logit_scale: PositiveFloat = 1.0
    """Logits are this factor times the read-out."""
    init_std: PositiveFloat = 0.1
    """Weights start at N(0, init_std²)."""


Engine = Literal["auto", "native", "device"]


class DeviceKeys(Section):
    """Where a foreign circuit runs, and how long it is waited for."""

    engine: Engine = "auto"
    """`native`: translated for fedket's own engine; `device`: on the device that it names itself;
    `auto`: native, if the circuit can be translated and its device is an exact simulator."""
    timeout_s: PositiveFloat = 600.0
    """Seconds that a device has for one batch."""
    retries: Annotated[NonNegativeInt, Field(le=20)] = 2
    """How often a call to a device that failed is repeated, after 1, 2, 4, … seconds."""

    @property
    def asks_for_device(self) -> bool:
        """Whether the circuit must run elsewhere than on fedket's engine."""
        return self.engine == "device"

    @property
    def patience(self) -> Patience:
        """How long a device is waited for."""
        return Patience(self.timeout_s, self.retries)
