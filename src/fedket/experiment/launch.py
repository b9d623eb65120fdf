"""How many processes a launcher started, and which of them this is, told before JAX is loaded.

Open MPI, Slurm's srun and MPIs with PMI say it in the environment; FEDKET_NUM_PROCESSES,
FEDKET_PROCESS_ID and FEDKET_COORDINATOR (HOST:PORT of process 0) say it where there is no launcher.
"""

import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from fedket.errors import ConfigError

COUNT, RANK, COORDINATOR = "FEDKET_NUM_PROCESSES", "FEDKET_PROCESS_ID", "FEDKET_COORDINATOR"

LAUNCHERS = (
    (COUNT, RANK),
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
    ("PMI_SIZE", "PMI_RANK"),
)
"""Variables with the number of processes and this one's; the first pair that is set counts.

SLURM_NTASKS is not among them: a batch script has it too, and runs once.
"""


class Launch(NamedTuple):
    """One of several processes; `coordinator` is None where JAX finds it out itself."""

    num_processes: int
    process_id: int
    coordinator: str | None


def find_launch(environment: Mapping[str, str] = os.environ) -> Launch | None:
    """Which of several processes this is; None if it is the only one.

    Raises:
        ConfigError: The variables are incomplete or no numbers.
    """
    for count, rank in LAUNCHERS:
        if count in environment or (count == COUNT and rank in environment):
            num_processes, process_id = (_number(environment, name) for name in (count, rank))
            break
    else:
        return None
    coordinator = environment.get(COORDINATOR)
    if num_processes == 1:
        return None
    if not 0 <= process_id < num_processes:
        raise ConfigError(f"{rank} is {process_id}; number the processes 0 to {num_processes - 1}")
    if count in (COUNT, "PMI_SIZE") and coordinator is None:
        raise ConfigError(
            f"{count} is {num_processes}, {COORDINATOR} is not set; set it to HOST:PORT, a free "
            "port on the host of process 0"
        )
    return Launch(num_processes, process_id, coordinator)


def check_engine(engine: Any, launch: Launch) -> None:
    """Raise `ConfigError` unless an engine computes in several processes."""
    from fedket.federated.engine_kinds import ShardedConfig

    if not isinstance(engine, ShardedConfig):
        raise ConfigError(
            f'{launch.num_processes} processes were launched, engine.kind = "{engine.kind}" '
            "computes in one; launch one, or add --set engine.kind=sharded"
        )


def _number(environment: Mapping[str, str], name: str) -> int:
    text = environment.get(name, "")
    if not text.isdigit():
        raise ConfigError(f"{name} is {text!r}, must be a whole number; set it for every process")
    return int(text)
