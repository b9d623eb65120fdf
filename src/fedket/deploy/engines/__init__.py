"""Engines that carry a federation's messages, each in a room of its own that alone imports it.

An experiment names its engine in `engine.kind`. Another one is another room beside these, with a
`DeploymentEngine`, and a line in `ENGINES`. What an engine starts in the parties' processes calls
`fedket.deploy.run.run_federation` at the server and `fedket.deploy.site.Site` at a site.
"""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from fedket.errors import ConfigError

ENGINES = {"flare": "fedket.deploy.engines.flare.engine"}
"""`engine.kind` -> module with its `ENGINE`; the first one is taken where none is named."""


class Provisioning(NamedTuple):
    """What an engine must know to write the parties' startup kits.

    Attributes:
        name: Of the experiment.
        host: Where sites reach the server.
        port: On which port.
        sites: Names of the sites, in order.
        join_s: Seconds to wait for sites when the run begins.
    """

    name: str
    host: str
    port: int
    sites: tuple[str, ...]
    join_s: float


class DeploymentEngine(NamedTuple):
    """What a deployment asks of its engine.

    Attributes:
        title: Its name, for people.
        extra: The extra of fedket that installs it.
        provision: (what, folder) -> party (site name, `server`, `admin`) -> its startup kit. Also
            writes `job/NAME` below the folder: what an administrator hands in.
        settle: Startup kit of a party -> nothing; makes it fit the place it was copied to.
        command: Startup kit of a party -> the command that runs its process.
        run: (administrator's kit, job, sites, say, *, join_s, restarts, problem) -> nothing, when
            the run is finished; see `fedket.deploy.engines.flare.admin.run_job`.
    """

    title: str
    extra: str
    provision: Callable[[Provisioning, Path], dict[str, Path]]
    settle: Callable[[Path], None]
    command: Callable[[Path], list[str]]
    run: Callable[..., None]


def engine_of_kind(kind: str) -> DeploymentEngine:
    """Return an engine; its own package need not be installed yet.

    Raises:
        ConfigError: There is none of this kind.
    """
    if kind not in ENGINES:
        raise ConfigError(
            f'engine.kind = "{kind}" does not run on sites; use one of: {", ".join(ENGINES)}'
        )
    engine = import_module(ENGINES[kind]).ENGINE
    if not isinstance(engine, DeploymentEngine):
        raise TypeError(f"{ENGINES[kind]}.ENGINE is not a DeploymentEngine")
    return engine
