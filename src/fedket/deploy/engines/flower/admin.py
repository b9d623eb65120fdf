"""The coordinator's side: starts the run at the server, watches it, and starts it again.

The server's process lives on between runs, and sites that come late are let in by the membership.
A run is started again only after its server was killed.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from fedket.deploy.engines.flower.kits import read_kit
from fedket.deploy.engines.flower.wire import PartyClient, reason_of, refused_for_good
from fedket.deploy.operating.state import Look, parse_look
from fedket.errors import FedketError, ProtocolError, RunStoppedError

POLL_S = 0.5
PATIENCE_S = 5.0
"""How long sites may be late before somebody who waits is told."""


class ServerCalls:
    """Asks the server, and again after it was started anew.

    Args:
        kit: Folder of a startup kit.
        seconds: How long an answer is waited for.
    """

    def __init__(self, kit: Path, seconds: float) -> None:
        self._kit, self._seconds = read_kit(kit), seconds
        self._client: PartyClient | None = None

    def __call__(self, what: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask something.

        Raises:
            ProtocolError: The server is not there, or does not let us in.
        """
        end, attempt = time.monotonic() + self._seconds, 0
        while True:
            try:
                self._client = self._client or PartyClient(self._kit, attempt)
                return self._client.ask(what, body)
            except httpx.HTTPError as error:
                self._client, attempt = None, attempt + 1
                if refused_for_good(error):
                    raise ProtocolError(f"the server refuses: {reason_of(error)}") from None
                if time.monotonic() > end:
                    raise ProtocolError(
                        f"no Flower server at {self._kit.address()} answers {self._kit.name}: "
                        f"{reason_of(error)}"
                    ) from None
            time.sleep(POLL_S)


def run(
    kit: Path,
    purpose: str,
    sites: Callable[[], tuple[str, ...]],
    say: Callable[[str], None],
    *,
    join_s: float = 120.0,
    restarts: int = 20,
    stopped: Callable[[], bool] = lambda: False,
    told: Callable[[Look], None] = lambda _: None,
) -> None:
    """Start the run when the sites are there, or find it running, and see it through.

    Args:
        kit: The coordinator's startup kit.
        purpose: `run`, or `statistics` before it.
        sites: -> names of all sites by now; the run begins with those that come within `join_s`.
        say: Where news go.
        join_s: Seconds to wait for the server, also after it was lost, and for sites.
        restarts: How often a run that was lost is started again.
        stopped: Whether somebody stopped all processes of this federation.
        told: Told how the run is doing: before it begins, about once a second, and at its end.

    Raises:
        ProtocolError: The server is not there, or the run is lost too often.
        RunStoppedError: An operator stopped the run.
        FedketError: What the server found wrong.
    """
    server = ServerCalls(kit, join_s)
    for attempt in range(restarts + 1):
        answer = server("status")
        told(parse_look(server("look"), "the server"))
        if answer["status"] != "running":
            _await_sites(server, sites(), join_s, say)
        answer = server("run", {"purpose": purpose})
        end = _see_through(server, answer["run"], stopped, told)
        if end == "finished":
            return
        if end.startswith("failed"):
            raise FedketError(end.removeprefix("failed: "))
        if attempt < restarts:
            say(f"the run ended early: {end}; it is started again")
    raise ProtocolError(f"the run was lost {restarts + 1} times; the server's log says why")


@contextmanager
def looking(kit: Path, seconds: float) -> Iterator[Callable[[], Look]]:
    """Return what asks the server how its run is doing.

    Raises:
        ProtocolError: The server does not let us in, or does not answer.
    """
    server = ServerCalls(kit, seconds)
    yield lambda: parse_look(server("look"), "the server")


def stop(kit: Path, seconds: float) -> bool:
    """End the run for good; returns whether there was one.

    Raises:
        ProtocolError: The server does not let us in, or its run has not ended after `seconds`.
    """
    server, end = ServerCalls(kit, seconds), time.monotonic() + seconds
    run = server("status")["run"]
    if not server("stop")["stopped"]:
        return False
    while server("status")["run"] == run:
        if time.monotonic() > end:
            raise ProtocolError("the server was told to end the run, and has not yet")
        time.sleep(POLL_S / 2)
    return True


def publish(kit: Path, members: str, seconds: float) -> None:
    """Give the running server a newer list of members.

    Raises:
        ProtocolError: The server does not let us in, or does not take it.
    """
    ServerCalls(kit, seconds)("take", {"members": members})


def _see_through(
    server: ServerCalls, run: str, stopped: Callable[[], bool], told: Callable[[Look], None]
) -> str:
    """Return how a run ended."""
    while True:
        time.sleep(POLL_S)
        if stopped():
            raise RunStoppedError("the federation was stopped")
        answer = server("status")
        told(parse_look(server("look"), "the server"))
        if answer["run"] != run:
            by = answer["stopped"]
            if by.get("job") == run:
                raise RunStoppedError(f"{by['by']} stopped the run at {by['when']}")
            return "its server was started again"
        if answer["status"] != "running":
            return str(answer["status"])


def _await_sites(
    server: ServerCalls, sites: tuple[str, ...], seconds: float, say: Callable[[str], None]
) -> None:
    """Wait for all sites, for some seconds; two of them are enough then."""
    end, said = time.monotonic() + seconds, time.monotonic() + PATIENCE_S
    while True:
        here = server("status")["connected"]
        away = [name for name in sites if name not in here]
        if not away or time.monotonic() > end:
            break
        if time.monotonic() > said:
            said = end
            say(f"waiting for {', '.join(away)}, {seconds:g} s at most")
        time.sleep(POLL_S)
    if len(sites) - len(away) < 2:
        raise ProtocolError(f"sites {', '.join(away)} did not connect within {seconds:g} s")
    if away:
        say(f"the run begins without {', '.join(away)}")
