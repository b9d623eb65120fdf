"""A site's object in a FLARE job."""

from typing import Any

from nvflare.collab import collab

from fedket.deploy.engines.flare.place import kit_folder
from fedket.deploy.messages import heard, pack, unpack
from fedket.deploy.site_process import SiteProcess
from fedket.secure.phases import Failure, Payload
from fedket.types import SERVER


class FederationSite:
    """Answers the server's phases, and other sites about the link with them, until the job ends."""

    def __init__(self) -> None:
        self._process = SiteProcess(lambda: kit_folder(collab.workspace), PeerCalls)

    @collab.publish
    def phase(self, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Answer a request of the server.

        Args:
            action: What to do.
            payload: Its arguments.
        """
        if collab.caller != "server":
            return pack(Failure(f"phases come from the server, not from `{collab.caller}`"))
        return pack(self._process.phase(action, payload))

    @collab.publish
    def peer(self, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Answer another party about the link with it.

        Args:
            action: What it is about.
            payload: What it says.
        """
        return pack(self._process.peer(str(collab.caller), action, payload))

    @collab.final
    def close(self) -> None:
        """Release the pad store when the job ends."""
        self._process.close()


class PeerCalls:
    """How a site asks other parties about the links with them.

    Args:
        names: Names of the sites, in order.
        seconds: Longest wait for an answer.
    """

    def __init__(self, names: tuple[str, ...], seconds: float = 30.0) -> None:
        self._seconds = seconds
        proxies = {proxy.name: proxy for proxy in collab.clients}
        self._proxies = {i: proxies[name] for i, name in enumerate(names) if name in proxies}
        self._proxies[SERVER] = collab.server

    def __call__(self, party: int, action: str, payload: Payload) -> Payload:
        """Ask; raises `PeerSilentError` without an answer."""
        from fedket.keys.etsi014.errors import PeerSilentError

        who = "the server" if party == SERVER else f"site {party}"
        if party not in self._proxies:
            raise PeerSilentError(f"{who} is not in this job")
        try:
            said = self._proxies[party](timeout=self._seconds).peer(action, dict(payload))
        except Exception as error:
            said = heard(str(error))
            raise PeerSilentError(f"{who} did not answer `{action}`: {said}") from None
        outcome = unpack(said, who)
        if isinstance(outcome, Failure):
            raise PeerSilentError(outcome.reason)
        return outcome.payload
