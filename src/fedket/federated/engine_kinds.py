"""The engines that simulate, as an experiment names them; none changes more than rounding."""

from typing import Annotated, Literal

from pydantic import Field

from fedket.federated.sequential import sequential_engine
from fedket.federated.sharded import cores_engine, sharded_engine, split_cpu
from fedket.federated.trainer import MakeEngine
from fedket.schema import PositiveInt
from fedket.section import Context, Section


class EngineConfig(Section):
    """Keys of every engine; `build` returns a `MakeEngine`."""

    dtype: Literal["float32", "float64"] = "float32"
    memory_limit_mb: PositiveInt = 2048
    """Upper bound for the working set of clients trained at the same time, in MiB."""

    def prepare(self) -> None:
        """Do what must be done before JAX computes anything in this process."""

    def caveats(self) -> tuple[str, ...]:
        """What is simulated."""
        return (
            f"Clients, server and network are simulated in one program ({self.kind} engine), which "
            "therefore saw all samples, updates and keys.",
        )


class VectorisedConfig(EngineConfig):
    """Clients side by side, as many as the cache holds, on all cores of the CPU, or on a GPU."""

    kind: Literal["vectorised"] = "vectorised"

    def prepare(self) -> None:
        """Make devices of the CPU's cores."""
        split_cpu()

    def build(self, context: Context) -> MakeEngine:
        """The engine."""
        return cores_engine


class SequentialConfig(EngineConfig):
    """One client after the other; a failure names client, round and stage."""

    kind: Literal["sequential"] = "sequential"

    def build(self, context: Context) -> MakeEngine:
        """The engine."""
        return sequential_engine


class ShardedConfig(EngineConfig):
    """Clients dealt to all GPUs, or to the cores of the CPU, of one or several processes."""

    kind: Literal["sharded"] = "sharded"
    devices: Annotated[int, Field(ge=0, le=1024)] = 0
    """On a CPU: the devices it is split into; 0 means one per core, or a single one in each of
    several processes. GPUs are all used."""

    def prepare(self) -> None:
        """Make devices of the CPU's cores."""
        split_cpu(self.devices)

    def build(self, context: Context) -> MakeEngine:
        """The engine."""
        return sharded_engine
