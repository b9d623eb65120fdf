"""A site's object in a FLARE job."""

import secrets
from pathlib import Path
from threading import Lock
from typing import Any

from nvflare.collab import collab

from fedket.allocator import return_freed_memory
from fedket.deploy.compile_cache import forget_tracing
from fedket.deploy.engines.flare.messages import checked, failure_of, heard, pack, unpack
from fedket.deploy.engines.flare.place import kit_folder
from fedket.secure.phases import Failure, Outcome, Payload, Reply
from fedket.types import SERVER


class FederationSite:
    """Answers the server's phases, and other sites about the link with them.

    Data, keys and compiled circuits are opened with the first request that needs them and stay
    until the job ends. What is wrong with them is answered, by name, to every request.
    """

    def __init__(self) -> None:
        self._instance = secrets.token_hex(8)
        self._site: Any = None
        self._lock, self._compiling = Lock(), Lock()

    @collab.publish
    def phase(self, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Answer a request of the server.

        Args:
            action: What to do.
            payload: Its arguments.
        """
        if collab.caller != "server":
            return pack(Failure(f"phases come from the server, not from `{collab.caller}`"))
        if action == "heartbeat":
            return pack(Reply({"instance": self._instance}))
        folder = kit_folder(collab.workspace)

        def handle(site: Any) -> Outcome:
            said = checked(payload)
            if action == "setup":
                self._compile(folder, said)
            handled: Outcome = site.handle(action, said)
            return handled

        answer = self._answer(handle)
        if action == "setup":
            forget_tracing()
        elif action == "upload":
            return_freed_memory()
        return pack(answer)

    @collab.publish
    def peer(self, action: str, payload: dict[str, Any]) -> dict[str, Any]:
        """Answer another party about the link with it.

        Args:
            action: What it is about.
            payload: What it says.
        """
        caller = str(collab.caller)

        def answer(site: Any) -> Outcome:
            if caller != "server" and caller not in self._names:
                return Failure(f"`{caller}` is not a party of this federation")
            party = SERVER if caller == "server" else self._names.index(caller)
            answered: Outcome = site.answer_peer(party, action, checked(payload))
            return answered

        return pack(self._answer(answer))

    @collab.final
    def close(self) -> None:
        """Release the pad store when the job ends."""
        if self._site is not None:
            self._keys.close()

    def _answer(self, ask: Any) -> Outcome:
        try:
            outcome: Outcome = ask(self._opened())
            return outcome
        except Exception as error:  # whatever it is, the server names this site and goes on
            return failure_of(error)

    def _opened(self) -> Any:
        with self._lock:
            if self._site is None:
                self._open(kit_folder(collab.workspace))
            return self._site

    def _compile(self, folder: Path, payload: Payload) -> None:
        """Let another process compile what the setup will ask for."""
        from fedket.deploy.agreed import sizes_in
        from fedket.deploy.compile_cache import compile_apart
        from fedket.deploy.files import SITE

        classes, largest = sizes_in(payload)
        with self._compiling:  # a server that asks again finds it done
            compile_apart(folder, folder / SITE, classes, largest)

    def _open(self, folder: Path) -> None:
        from fedket.compile_cache import keep_compiled
        from fedket.deploy.compile_cache import CACHE
        from fedket.deploy.files import SITE, SiteFile, read_experiment, sae_ids
        from fedket.deploy.given import GivenUpdates
        from fedket.deploy.party_keys import open_store_keys
        from fedket.deploy.site import Site
        from fedket.deploy.site_data import load_site_data
        from fedket.experiment.run_directory import config_hash
        from fedket.schema import read_table

        keep_compiled(folder / CACHE)
        file = read_table(folder / SITE, SiteFile)
        config = read_experiment(file.experiment, len(file.sites))
        dataset = load_site_data(file, config)
        ids = sae_ids(file.saes, len(file.sites))
        self._names = file.sites
        ask = PeerCalls(file.sites)
        self._keys = open_store_keys(file.client, file.store, file.sae, ids, ask)
        given = GivenUpdates(folder, config_hash(config))
        named = file.name, file.client
        self._site = Site(*named, config, dataset, self._keys, given.give, folder)
        self._site.instance = self._instance


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
