"""Engines that carry a federation's messages, each in a room of its own that alone imports it.

An experiment names its engine in `engine.kind`. Another one is another room beside these, whose
section is a `SitesConfig`, and a line in the table of `fedket.kinds`. What an engine starts in the
parties' processes calls `fedket.deploy.run.run_federation` at the server and
`fedket.deploy.site.Site` at a site.

The processes of startup kits, which only pass messages on, import this; so it imports nothing of
fedket's but types: JAX alone would be 80 MB in each of them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from fedket.deploy.identity.authority import Credentials
    from fedket.deploy.operating.state import Look

DEFAULT = "flare"
"""The kind that is taken where an experiment names an engine that simulates."""


class Provisioning(NamedTuple):
    """What an engine must know of a federation to write a party's startup kit, or the job.

    Attributes:
        name: Of the experiment.
        hosts: Where sites reach the server: names or addresses, the first one first.
        port: On which port.
        purpose: What the job is for: `run`, or `statistics` before it.
    """

    name: str
    hosts: tuple[str, ...]
    port: int
    purpose: str = "run"


def not_told(_: Path, __: str, ___: float) -> None:
    """Tell nobody.

    Raises:
        ProtocolError: Always.
    """
    from fedket.errors import ProtocolError

    raise ProtocolError("this engine's servers read the list in their kits only")


class DeploymentEngine(NamedTuple):
    """What a deployment asks of its engine.

    Attributes:
        title: Its name, for people.
        extra: The extra of fedket that installs it.
        write_kit: (what, credentials of a party, folder) -> nothing; makes the folder, that party's
            startup kit.
        write_certificate: (startup kit, certificate, root's certificate (PEM)) -> nothing; puts a
            renewed certificate for the kit's key into it.
        write_job: (what, folder) -> nothing; makes the folder, which a coordinator hands in.
        settle: Startup kit of a party -> nothing; makes it fit the place it was copied to.
        command: Startup kit of a party -> the command that runs its process.
        run: (administrator's kit, job, sites, say, *, join_s, restarts, problem, stopped, told,
            present) -> nothing, when the run is finished; waits for its end and starts it again
            after a failure, but not after `stop`, or once `stopped()`: that raises
            `RunStoppedError`. Tells `told` how it is doing, before it begins, about once a second,
            and at its end; asks `present` who the sites are by now.
        look: (administrator's kit, seconds) -> a context in which a call asks the server how its
            run is doing; tries to reach it for so long.
        stop: (administrator's kit, seconds) -> whether a run was ended: nobody hands it in again
            unless asked to. Waits for the end of the server's job, `seconds` at most.
        server: Startup kit of a site -> HOST:PORT where it looks for its server; of another
            party, or where no one port is meant, nothing.
        publish: (administrator's kit, signed list of members, seconds) -> nothing; gives the list
            to a server that runs, which lets go of those who have left.
    """

    title: str
    extra: str
    write_kit: Callable[[Provisioning, Credentials, Path], None]
    write_certificate: Callable[[Path, bytes, bytes], None]
    write_job: Callable[[Provisioning, Path], None]
    settle: Callable[[Path], None]
    command: Callable[[Path], list[str]]
    run: Callable[..., None]
    look: Callable[[Path, float], AbstractContextManager[Callable[[], Look]]]
    stop: Callable[[Path, float], bool]
    server: Callable[[Path], str] = lambda _: ""
    publish: Callable[[Path, str, float], None] = not_told
