"""The administrator's side: hands the job to FLARE, watches it, and hands it in again.

FLARE loses a job when its server is killed. Our run outlives its jobs: one handed in again goes on
with the run directory's last round. So that is what happens after a kill, and when a site comes
that the running job does not know; others that come late are handed the job by the server
(`fedket.deploy.engines.flare.latecomers`).
"""

import base64
import contextlib
import io
import logging
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fedket.deploy.engines.flare.kits import missing_flare, person
from fedket.deploy.kit import PROBLEM
from fedket.deploy.operating.state import Look, parse_look
from fedket.errors import FedketError, ProtocolError, RunStoppedError

LOOK, STOP, TAKE = "fedket_look", "fedket_stop", "fedket_take"
"""Our own commands at FLARE's server, see `fedket.deploy.engines.flare.commands`."""

POLL_S = 1.0
PATIENCE_S = 5.0
"""How long sites may be late before somebody who waits is told."""

SETTLED_S = 10.0
"""How long a site that comes late must stay connected before the job begins again with it."""

DONE = "FINISHED:COMPLETED"

FAILED = "FINISHED:EXECUTION_EXCEPTION"
"""The run's server found something wrong; a killed one ends the session instead."""

ENOUGH = 3
"""After this many in a row it will not mend itself."""


class UnansweredError(ProtocolError):
    """The server has not answered one of our commands."""


@contextmanager
def session(kit: Path, seconds: float) -> Iterator[Any]:
    """Open an administrator's session, trying for `seconds`.

    Raises:
        ProtocolError: The server does not let us in.
    """
    try:
        from nvflare.fuel.flare_api.flare_api import new_secure_session
    except ModuleNotFoundError as error:
        raise missing_flare(error) from None
    end, opened = time.monotonic() + seconds, None
    with _quiet():
        while opened is None:
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    opened = new_secure_session(person(kit), str(kit.resolve()), timeout=5.0)
            except Exception as error:
                if time.monotonic() > end:
                    raise ProtocolError(f"no FLARE server lets {kit} in: {error}") from None
                time.sleep(POLL_S)
        try:
            yield opened
        finally:
            with contextlib.suppress(Exception):
                opened.close()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep FLARE's log lines off the terminal; what an operator must know is said by `say`."""
    nowhere, root = logging.NullHandler(), logging.getLogger()
    root.addHandler(nowhere)
    try:
        yield
    finally:
        root.removeHandler(nowhere)


def run_job(
    kit: Path,
    job: Path,
    sites: tuple[str, ...],
    say: Callable[[str], None],
    *,
    join_s: float = 120.0,
    restarts: int = 20,
    problem: Callable[[], str] = lambda: "",
    stopped: Callable[[], bool] = lambda: False,
    told: Callable[[Look], None] = lambda _: None,
    present: Callable[[], tuple[str, ...]] | None = None,
) -> None:
    """Hand the job in when the sites are there, and see it through, or one that runs already.

    Args:
        kit: The administrator's startup kit.
        job: Folder of the job.
        sites: Names of all sites; the job begins with those that come within `join_s`, once.
        say: Where news go.
        join_s: Seconds to wait for the server, and then for sites.
        restarts: How often a job that was lost is handed in again.
        problem: Returns what the run's server found wrong for good, or nothing.
        present: Returns the names of the sites by now, who come and go; None: `sites`.
        stopped: Whether somebody stopped all processes of this federation.
        told: Told how the run is doing: before it begins, about once a second, and at its end.

    Raises:
        ProtocolError: The server is not there, or the job fails or is lost too often.
        RunStoppedError: An operator stopped the run.
        FedketError: What the server found wrong.
    """
    now = present or (lambda: sites)
    awaited, failures = sites, 0
    for attempt in range(restarts + 1):
        said = ""
        try:
            with session(kit, join_s) as opened:
                job_id = _running(opened)
                told(look_through(opened))
                if not job_id:
                    known, sites = sites, now()
                    awaited = tuple(n for n in sites if n in awaited or n not in known)
                    awaited = _await_sites(opened, sites, awaited, join_s, say)
                    job_id = str(opened.submit_job(str(job.resolve())))
                status = _see_through(opened, job_id, Latecomers(now), say, told)
                told(look := look_through(opened))
                if status != DONE:
                    said = _problem_of(look, job_id)
        except UnansweredError as error:  # it may have been killed as it was asked
            status = f"the server is gone ({error})"
        except FedketError:
            raise
        except Exception as error:  # the session ends with the server
            status = f"the server is gone ({' '.join([type(error).__name__, *f'{error}'.split()])})"
        if status == DONE:
            return
        if stopped():
            raise RunStoppedError("the federation was stopped")
        if said := said or problem():
            raise FedketError(said)
        failures = failures + 1 if status == FAILED else 0
        if failures == ENOUGH:
            raise ProtocolError(
                f"the run ended with an error {ENOUGH} times; the file {PROBLEM} in the server's "
                "kit, and its log, say which"
            )
        if attempt < restarts:
            say(f"the job ended early: {status}; it is handed in again")
            time.sleep(3 * POLL_S)
    raise ProtocolError(
        f"the job ended early {restarts + 1} times, the last time with {status}; the server's log "
        "says why"
    )


@contextmanager
def looking(kit: Path, seconds: float) -> Iterator[Callable[[], Look]]:
    """Open an administrator's session in which a call asks how the run is doing.

    Raises:
        ProtocolError: The server does not let us in, or does not answer.
    """
    with session(kit, seconds) as opened:
        yield lambda: look_through(opened)


def look_through(opened: Any) -> Look:
    """Ask the server how its run is doing."""
    return parse_look(_answer(opened, LOOK), "the server")


def stop_job(kit: Path, seconds: float) -> bool:
    """End the running job for good; returns whether there was one.

    Raises:
        ProtocolError: The server does not let us in, or its job has not ended after `seconds`.
    """
    end = time.monotonic() + seconds
    with session(kit, seconds) as opened:
        jobs = _answer(opened, STOP)["jobs"]
        while _running(opened):
            if time.monotonic() > end:
                raise ProtocolError(f"the server was told to end job {jobs[0]}, and has not yet")
            time.sleep(POLL_S / 2)
    return bool(jobs)


def publish(kit: Path, members: str, seconds: float) -> None:
    """Give the running server a newer list of members.

    Raises:
        ProtocolError: The server does not let us in, or does not take it.
    """
    with session(kit, seconds) as opened:
        text = base64.b64encode(zlib.compress(members.encode())).decode()
        if refused := _answer(opened, f"{TAKE} {text}")["refused"]:
            raise ProtocolError(str(refused))


def _answer(opened: Any, command: str) -> dict[str, Any]:
    """What the server answers to one of our commands.

    Raises:
        UnansweredError: It refuses, does not know it, or is gone.
    """
    reply = opened.do_command(command)
    for item in reply.get("data", []):
        if isinstance(item, dict) and item.get("type") == "dict":
            found: dict[str, Any] = item["data"]
            return found
    why = (reply.get("meta") or {}).get("info") or reply.get("details") or reply.get("status")
    raise UnansweredError(f"the server does not answer `{command}`: {why}")


def _problem_of(look: Look, job_id: str) -> str:
    """What the server found wrong; raises `RunStoppedError` if an operator stopped this job."""
    if look.stopped.get("job") == job_id:
        by, when = look.stopped.get("by"), look.stopped.get("when")
        raise RunStoppedError(f"{by} stopped the run at {when}")
    return look.problem


def _running(opened: Any) -> str:
    """Return the job that an administrator who stopped watching has left, or nothing.

    The list of jobs would not do: one whose server was killed stays `running` there for ever.
    """
    jobs = opened.get_system_info().job_info
    return str(jobs[0].job_id) if jobs else ""


def _connected(opened: Any) -> set[str]:
    return {str(client.name) for client in opened.get_system_info().client_info}


def _await_sites(
    opened: Any,
    sites: tuple[str, ...],
    awaited: tuple[str, ...],
    join_s: float,
    say: Callable[[str], None],
) -> tuple[str, ...]:
    """Wait for the awaited sites; return all that are there, for whom the next job is to wait."""
    end, said = time.monotonic() + join_s, time.monotonic() + PATIENCE_S
    while True:
        here = _connected(opened)
        away = [name for name in awaited if name not in here]
        if not away or time.monotonic() > end:
            break
        if time.monotonic() > said:
            said = end
            say(f"waiting for {', '.join(away)}, {join_s:g} s at most")
        time.sleep(POLL_S / 2)
    away = [name for name in sites if name not in here]
    if len(sites) - len(away) < 2:
        raise ProtocolError(f"sites {', '.join(away)} did not connect within {join_s:g} s")
    if away:
        say(f"the job begins without {', '.join(away)}")
    return tuple(name for name in sites if name in here)


class Latecomers:
    """Sites that are connected, and not in the job; also some that were not members at its start.

    Args:
        sites: Returns the names of all sites by now.
        clock: Seconds.
    """

    def __init__(
        self, sites: Callable[[], tuple[str, ...]], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._sites, self._clock = sites, clock
        self._since: dict[str, float] = {}

    def settled(self, connected: set[str], deployed: list[str]) -> tuple[str, ...]:
        """Return those that have been connected for `SETTLED_S`.

        Args:
            connected: Names of the sites FLARE sees now.
            deployed: FLARE's account of who got the job, "name: OK" or "name: why not"; empty
                before the job is sent out.
        """
        members = {entry.split(":")[0] for entry in deployed if entry.endswith(": OK")}
        now = self._clock()
        late = [n for n in self._sites() if n in connected and n not in members]
        self._since = {name: self._since.get(name, now) for name in late if members}
        return tuple(n for n, since in self._since.items() if now - since >= SETTLED_S)


def _see_through(
    opened: Any,
    job_id: str,
    latecomers: Latecomers,
    say: Callable[[str], None],
    told: Callable[[Look], None],
) -> str:
    """Return the job's last status; end it when somebody has come who is not in it."""
    seen, ended = "", False
    while True:
        meta = opened.get_job_meta(job_id)
        status = str(meta.get("status"))
        if status != seen:
            say(f"job {job_id}: {status.lower()}")
        seen = status
        told(look_through(opened))
        if status.startswith(("FINISHED", "FAILED", "ABANDONED")):
            return status
        late = latecomers.settled(_connected(opened), meta.get("job_deploy_detail") or [])
        if late and not ended:
            say(f"{', '.join(late)} came after the job had begun; it begins again with all")
            opened.abort_job(job_id)
            ended = True
        time.sleep(POLL_S)
