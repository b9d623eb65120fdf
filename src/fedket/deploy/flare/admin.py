"""The administrator's side: hands the job to FLARE, watches it, and hands it in again.

FLARE loses a job when its server is killed. Our run does not: a job handed in again goes on with
the run directory's last round.
"""

import contextlib
import io
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fedket.deploy.flare.kits import ADMIN, missing_flare
from fedket.errors import FedketError, ProtocolError

POLL_S = 1.0
PATIENCE_S = 5.0
"""How long sites may be late before somebody who waits is told."""

DONE = "FINISHED:COMPLETED"


@contextmanager
def session(kit: Path, seconds: float) -> Iterator[Any]:
    """Open an administrator's session, trying for so many seconds.

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
                    opened = new_secure_session(ADMIN, str(kit.resolve()), timeout=5.0)
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

    Raises:
        ProtocolError: The server is not there, or the job is lost too often.
        FedketError: What the server found wrong.
    """
    for attempt in range(restarts + 1):
        try:
            with session(kit, join_s) as opened:
                job_id = _running(opened)
                if not job_id:
                    _await_sites(opened, sites, join_s, say)
                    job_id = str(opened.submit_job(str(job.resolve())))
                status = _see_through(opened, job_id, say)
        except FedketError:
            raise
        except Exception as error:  # the session ends with the server
            status = f"the server is gone ({type(error).__name__})"
        if status == DONE:
            return
        if problem():
            raise FedketError(problem())
        if attempt < restarts:
            say(f"the job ended early: {status}; it is handed in again")
            time.sleep(3 * POLL_S)
    raise ProtocolError(
        f"the job ended early {restarts + 1} times, the last time with {status}; the server's log "
        "says why"
    )


def _running(opened: Any) -> str:
    """Return the job that an administrator who stopped watching has left, or nothing.

    The list of jobs would not do: one whose server was killed stays `running` there for ever.
    """
    jobs = opened.get_system_info().job_info
    return str(jobs[0].job_id) if jobs else ""


def _await_sites(
    opened: Any, sites: tuple[str, ...], join_s: float, say: Callable[[str], None]
) -> None:
    end, said = time.monotonic() + join_s, time.monotonic() + PATIENCE_S
    while True:
        here = {client.name for client in opened.get_system_info().client_info}
        away = [name for name in sites if name not in here]
        if not away:
            return
        if time.monotonic() > end:
            break
        if time.monotonic() > said:
            said = end
            say(f"waiting for {', '.join(away)}, {join_s:g} s at most")
        time.sleep(POLL_S / 2)
    if len(sites) - len(away) < 2:
        raise ProtocolError(f"sites {', '.join(away)} did not connect within {join_s:g} s")
    say(f"the job begins without {', '.join(away)}")


def _see_through(opened: Any, job_id: str, say: Callable[[str], None]) -> str:
    """Return the job's last status."""
    seen = ""
    while True:
        status = str(opened.get_job_meta(job_id).get("status"))
        if status != seen:
            say(f"job {job_id}: {status.lower()}")
        seen = status
        if status.startswith(("FINISHED", "FAILED", "ABANDONED")):
            return status
        time.sleep(POLL_S)
