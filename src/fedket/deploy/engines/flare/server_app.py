"""The server's object in a FLARE job: runs the rounds into the run directory."""

from collections.abc import Mapping
from copy import copy
from threading import Event
from typing import Any

from nvflare.apis.signal import Signal
from nvflare.collab import collab

from fedket.deploy.engines.flare.place import kit_folder
from fedket.deploy.messages import checked, failure_of, heard, pack, unpack
from fedket.deploy.terminal import at_terminal
from fedket.errors import FedketError
from fedket.secure.phases import Failure, Outcome, Payload, Reply


class FederationServer:
    """Starts the run, or goes on with it, and ends when all rounds are done.

    Nothing is decided by FLARE's idea of who is there: `fedket.deploy.membership` keeps its own.

    Args:
        purpose: `run`, or `statistics` before it.
    """

    def __init__(self, purpose: str = "run") -> None:
        self._purpose = purpose
        self._keys: Any = None
        self._names: tuple[str, ...] = ()
        self.connected: set[str] = set()
        """Sites that FLARE saw when the job began; set by its controller."""

    @collab.main
    def run(self) -> str:
        """Run all rounds that are left."""
        from fedket.deploy.engines.flare.site_app import PeerCalls
        from fedket.deploy.files import PROBLEM
        from fedket.deploy.run import ServerParts, run_federation
        from fedket.deploy.statistics import run_statistics

        folder = kit_folder(collab.workspace)
        proxies = {proxy.name: proxy for proxy in collab.clients}

        def parts(names: tuple[str, ...]) -> ServerParts:
            self._names = names
            calls = SiteCalls(names, proxies)
            here = frozenset(i for i, name in enumerate(names) if name in self.connected)
            return ServerParts(calls, here, PeerCalls(names), self._share_keys, at_terminal)

        problem = folder / PROBLEM
        problem.unlink(missing_ok=True)
        try:
            if self._purpose == "statistics":
                return run_statistics(folder, parts)
            outcome = run_federation(folder, parts)
        except FedketError as error:
            problem.write_text(f"{error}\n", encoding="utf-8")
            raise
        return outcome.summary.status

    @collab.publish
    def peer(self, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Answer a site about its link with the server.

        Args:
            action: What it is about.
            payload: What it says.
        """
        caller = str(collab.caller)
        if caller not in self._names or self._keys is None:
            return pack(Failure(f"the server knows no site `{caller}` yet"))
        try:
            party = self._names.index(caller)
            return pack(Reply(self._keys.answer(party, action, checked(payload))))
        except Exception as error:  # the site names it
            return pack(failure_of(error))

    def _share_keys(self, keys: Any) -> None:
        self._keys = keys


class SiteCalls:
    """`fedket.deploy.membership.Call` over FLARE's proxies.

    Args:
        names: Names of the sites, in order.
        proxies: Site name -> proxy; sites that joined the federation since the job began have none.
    """

    def __init__(self, names: tuple[str, ...], proxies: Mapping[str, Any]) -> None:
        self._names, self._proxies = names, dict(proxies)

    def __call__(
        self, site: int, action: str, payload: Payload, seconds: float, abandoned: Event
    ) -> Outcome:
        """Ask a site."""
        name = self._names[site]
        proxy = self._proxies.get(name)
        if proxy is None:
            return Failure("joined the federation after the job had begun")
        try:
            # Optional, or FLARE logs an error for each heartbeat of a site that is away.
            way = _until(proxy, abandoned)(timeout=seconds, optional=True)
            said = way.phase(action, dict(payload))
        except Exception as error:
            return Failure(heard(str(error)) or type(error).__name__)
        return unpack(said, name)


class _Abandoned(Signal):  # type: ignore[misc]
    """FLARE's sign to give up a call: that of the run, or of this call alone."""

    def __init__(self, run: Signal, abandoned: Event) -> None:
        super().__init__(run)
        self._abandoned = abandoned

    @property
    def triggered(self) -> bool:
        """Whether to give up."""
        return self._abandoned.is_set() or bool(super().triggered)


def _until(proxy: Any, abandoned: Event) -> Any:
    """A proxy whose calls end when they are abandoned; a job would wait for them at its end."""
    own = copy(proxy)
    own.backend = copy(proxy.backend)
    own.backend.abort_signal = _Abandoned(proxy.backend.abort_signal, abandoned)
    own.children = {name: _until(child, abandoned) for name, child in proxy.children.items()}
    return own
