"""A whole federation on this machine, every party a process of its own.

Real: the engine with mutual TLS, one startup kit, data directory and pad store per site, and a
connection of its own to a key manager over ETSI GS QKD 014. Simulated: that key manager's keys.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fedket.deploy.choices import Choices
from fedket.deploy.compile_cache import CACHE
from fedket.deploy.engines.kind import deployment_of
from fedket.deploy.files import kit_engine
from fedket.deploy.operating.news import now
from fedket.deploy.operating.state import STOPPED
from fedket.deploy.private import make_private
from fedket.deploy.project import Layout, for_sites, write_project
from fedket.errors import ProtocolError
from fedket.experiment.build import build_experiment
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.load import revised
from fedket.files import write_atomic

PROCESSES = "processes.json"
KME_READY_S = 60.0
STOP_S = 10.0


Wrap = Callable[[str, list[str]], list[str]]


def as_it_is(_: str, command: list[str]) -> list[str]:
    """Run a command here."""
    return command


class Started(NamedTuple):
    """A process of a federation.

    Attributes:
        party: Whose.
        pid: Its process ID, which another process may have by now.
        since: When it started, in clock ticks since the machine did.
    """

    party: str
    pid: int
    since: str


def prepare(config: ExperimentConfig, sites: int, directory: Path, engine: str = "") -> Layout:
    """Write a federation for this machine: kits, samples of each site, and a trial's KME.

    Args:
        config: Any experiment; its partition deals its samples to the sites, once.
        sites: How many.
        directory: New or empty.
        engine: See `for_sites`.

    Raises:
        FedketError: The experiment cannot run on sites.
    """
    names = tuple(f"site-{i + 1}" for i in range(sites))
    config = for_sites(config, sites, engine)
    saes = tuple(f"sae-{name}" for name in (*names, "server"))
    port, kme_port = free_ports(2)
    choices = Choices(
        sites=names,
        port=port,
        data=dict.fromkeys(names, "samples.npz"),
        prepared=True,
        saes=saes,
        trial_kme="localhost",
        kme_port=kme_port,
        test_data="test.npz",
        waits={"phase_s": 30.0, "training_s": 600.0, "join_s": 90.0, "silent_s": 6.0},
        code=True,
        min_sites=2 if sites == 2 else None,
    )
    built = build_experiment(simulated(config))
    layout = write_project(config, directory, choices)
    data = built.dataset
    (directory / CACHE).mkdir(mode=0o700)
    for name, indices in zip(names, built.partition, strict=True):
        own = layout.files(name) / "samples.npz"
        np.savez(own, x=data.x_train[indices], y=data.y_train[indices])
        own.with_name(CACHE).symlink_to(Path("../../../..", CACHE))
    np.savez(layout.files("server") / "test.npz", x=data.x_test, y=data.y_test)
    make_private(directory)
    return layout


def free_ports(number: int) -> list[int]:
    """Return ports of the loopback address that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [int(opened.getsockname()[1]) for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


@contextmanager
def running(layout: Layout, inside: Wrap = as_it_is) -> Iterator[list[Started]]:
    """Run the key manager, the server and all sites until the block ends.

    Args:
        layout: The federation.
        inside: (party, command) -> the command that runs it somewhere else on this machine.

    Raises:
        ProtocolError: Something runs here already, or the key manager does not start.
    """
    alive = [s for s in processes(layout.directory) if is_alive(s)]
    if alive:
        raise ProtocolError(
            f"{layout.directory} is running already ({alive[0].party}, process {alive[0].pid}); "
            "stop it with `fedket deploy stop`"
        )
    (layout.files("server") / STOPPED).unlink(missing_ok=True)
    started = [start_kme(layout)]
    try:
        _await_port(layout)
        for party in ("server", *layout.sites()):
            started.append(start_party(layout.kits[party], party, inside))
            _remember(layout.directory, started)
        yield started
    finally:
        stop(layout.directory)


def start_kme(layout: Layout) -> Started:
    """Start the trial's key manager."""
    command = [sys.executable, "-m", "fedket", "kme", "serve", "kme.toml"]
    started = _start("kme", command, layout.directory / "kme", layout.directory / "kme" / "log.txt")
    _remember(layout.directory, [started])
    return started


def start_party(kit: Path, party: str, inside: Wrap = as_it_is) -> Started:
    """Start the engine's process of a kit in the background."""
    kit = kit.resolve()
    command = inside(party, deployment_of(kit_engine(kit)).command(kit))
    return _start(party, command, kit, kit / "log.out")


def processes(directory: Path) -> list[Started]:
    """Processes that were started for a federation's folder."""
    path = directory / PROCESSES
    if not path.exists():
        return []
    return [Started(*pair) for pair in json.loads(path.read_text(encoding="utf-8"))]


def is_alive(started: Started) -> bool:
    """Whether a process is there, itself and not merely waiting to be buried."""
    state, since = _stat(started.pid)
    return state not in ("", "Z") and since == started.since


def _stat(pid: int) -> tuple[str, str]:
    """State of a process and when it started, or nothing."""
    fields = _fields(pid)
    return (fields[0], fields[19]) if fields else ("", "")


def _fields(pid: int) -> list[str]:
    """What `/proc` says of a process after its name: state, parent, …; nothing if it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def stop(directory: Path) -> list[str]:
    """Stop all processes of a federation's folder, those that they started included.

    Returns:
        The parties that were running.
    """
    parties = [started for started in processes(directory) if is_alive(started)]
    alive = [*parties, *_descendants(parties)]
    for sign, ended in ((signal.SIGTERM, parties), (signal.SIGKILL, alive)):
        for started in filter(is_alive, ended):  # jobs go with their parties, or are killed
            with suppress(ProcessLookupError):
                _end(started.pid, sign)
        end = time.monotonic() + STOP_S
        while time.monotonic() < end and any(is_alive(s) for s in alive):
            for started in alive:
                with suppress(ChildProcessError):
                    os.waitpid(started.pid, os.WNOHANG)
            time.sleep(0.05)
    (directory / PROCESSES).unlink(missing_ok=True)
    return [started.party for started in parties]


def mark_stopped(layout: Layout) -> None:
    """Have whoever sees the run through not hand it in again."""
    said = {"job": "", "by": "fedket deploy stop", "when": now()}
    write_atomic(layout.files("server") / STOPPED, json.dumps(said) + "\n")


def was_stopped(layout: Layout) -> bool:
    """Whether this federation was stopped since it was started."""
    return (layout.files("server") / STOPPED).exists()


def _end(pid: int, sign: signal.Signals) -> None:
    """Send a signal to a process, and to its group if it leads one."""
    if os.getpgid(pid) == pid:
        os.killpg(pid, sign)
    else:
        os.kill(pid, sign)


def _descendants(ancestors: list[Started]) -> list[Started]:
    """Processes that these have started, such as those of jobs, in groups of their own."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        if parent := _fields(int(entry.name))[1:2]:
            children.setdefault(int(parent[0]), []).append(int(entry.name))
    found, heirs = [], list(ancestors)
    while heirs:
        heir = heirs.pop()
        new = [Started(heir.party, pid, _stat(pid)[1]) for pid in children.get(heir.pid, [])]
        found += new
        heirs += new
    return found


def simulated(config: ExperimentConfig) -> ExperimentConfig:
    """The same experiment for this process, to deal samples and to count what a round costs."""
    values = config.model_dump(mode="json")
    values["engine"]["kind"] = "sequential"
    values["keys"] = {"kind": "os_random"}
    return revised(config, values)


def _start(party: str, command: list[str], folder: Path, log: Path) -> Started:
    """Start a process group of its own, so that Ctrl-C here does not reach it first."""
    # Few arenas: threads that come and go would each keep what they freed.
    environment = {"MALLOC_ARENA_MAX": "2", "JAX_PLATFORMS": "cpu", **os.environ}
    with log.open("ab") as out:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and modules
            command,
            cwd=folder,
            stdout=out,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env=environment,
        )
    process.returncode = 0  # it outlives this object: who stops it goes by its process ID
    return Started(party, process.pid, _stat(process.pid)[1])


def _remember(directory: Path, started: list[Started]) -> None:
    write_atomic(directory / PROCESSES, json.dumps([list(s) for s in started]))


def _await_port(layout: Layout) -> None:
    settings = tomllib.loads((layout.directory / "kme" / "kme.toml").read_text(encoding="utf-8"))
    port = settings["kme"][0]["port"]
    end = time.monotonic() + KME_READY_S
    while time.monotonic() < end:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    log = (layout.directory / "kme" / "log.txt").read_text(encoding="utf-8", errors="replace")
    raise ProtocolError(f"the key manager did not start: {log.strip().splitlines()[-1:] or log}")
