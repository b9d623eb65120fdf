"""What a site's process answers, on any engine: its files are opened with the first request.

Data, keys and compiled circuits stay until the process ends. What is wrong with them is answered,
by name, to every request. A heartbeat is answered before anything large is imported.
"""

import secrets
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

from fedket.allocator import return_freed_memory
from fedket.deploy.key_wait import KeyWait
from fedket.deploy.messages import checked, failure_of
from fedket.deploy.operating.news import keeping_news
from fedket.deploy.site_problems import DOING, SiteProblems
from fedket.deploy.terminal import at_terminal
from fedket.errors import FedketError
from fedket.secure.phases import Failure, Outcome, Payload, Reply
from fedket.types import SERVER

if TYPE_CHECKING:
    from fedket.deploy.files import SiteFile
    from fedket.deploy.operating.account import SiteAccount
    from fedket.deploy.party_keys import AskPeer, StoreKeys
    from fedket.deploy.site import Site


class SiteProcess:
    """Answers the server's phases, and other sites about the link with them.

    Args:
        folder: -> the folder that holds `site.toml` and what it names; asked when it is needed.
        way: Names of the sites, in order -> the way to other parties, about links.
        say: Where news for the site's own operator go.
    """

    def __init__(
        self,
        folder: Callable[[], Path],
        way: "Callable[[tuple[str, ...]], AskPeer]",
        say: Callable[[str], None] = at_terminal,
    ) -> None:
        self._folder, self._way = folder, way
        self._instance = secrets.token_hex(8)
        self._open: tuple[SiteFile, StoreKeys, Site] | None = None
        self._account: SiteAccount | None = None
        self._say = keeping_news(folder, say)
        self.problems = SiteProblems(folder, self._say)
        self._key: KeyWait | None = None
        self._told, self._counts = False, False
        self._greeted: object = None
        self._lock, self._compiling = Lock(), Lock()

    def phase(self, action: str, payload: object) -> Outcome:
        """Answer a request of the server, whatever arrived; never raises."""
        if action == "heartbeat":
            self.problems.hear(payload)
            return Reply({"instance": self._instance} | self._doing())

        begun = time.monotonic()
        if action == "handshake" and isinstance(payload, dict):
            self._greet(payload.get("experiment"))

        def handle(_: "SiteFile", site: "Site") -> Outcome:
            said = checked(payload)
            if action == "setup" and not self._counts:
                self._compile(said, site.program)
            if action == "fill" and self._open is not None:
                self._key = KeyWait(self._open[1].left)
            return site.handle(action, said)

        outcome = self._listed(action, payload) or self._answer(handle)
        self._key = None
        self.problems.answered(action, outcome)
        if self._account is not None:
            self._account.answered(action, payload, outcome, begun)
        if action == "setup":
            from fedket.deploy.compile_cache import forget_tracing

            forget_tracing()
        elif action == "upload":
            return_freed_memory()
        return outcome

    def peer(self, caller: str, action: str, payload: object) -> Outcome:
        """Answer another party about the link with it; never raises.

        Args:
            caller: Who asks, as the engine knows it: `server`, or the name of a site.
            action: What it is about.
            payload: What it says.
        """

        def answer(file: "SiteFile", site: "Site") -> Outcome:
            party = SERVER if caller == "server" else _number(file, caller)
            if party is None:
                return Failure(f"`{caller}` is not a party of this federation")
            return site.answer_peer(party, action, checked(payload))

        outcome = self._answer(answer)
        self.problems.answered(f"{action} of {caller}", outcome)
        return outcome

    def _greet(self, experiment: object) -> None:
        """Open the files anew if the server asks for another experiment than the last time."""
        with self._lock:
            if self._greeted not in (None, experiment):
                self._close_files()
            self._greeted = experiment

    def _close_files(self) -> None:
        self.close()
        self._open = self._account = None
        self._counts = False

    def close(self) -> None:
        """Release the pad store."""
        if self._account is not None:
            self._account.close()
        if self._open is not None:
            self._open[1].close()

    def _doing(self) -> dict[str, str]:
        """What this site waits for, for the server; once for each wait for its own operator."""
        key, said = self._key, ""
        with suppress(FedketError):  # a store that is being closed
            said = key.in_words() if key is not None else ""
        if said and not self._told:
            self._say(said)
        self._told = bool(said)
        return {DOING: said} if said else {}

    def _answer(self, ask: "Callable[[SiteFile, Site], Outcome]") -> Outcome:
        try:
            with self._lock:
                file, _, site = self._open = self._open or self._opened()
            return ask(file, site)
        except Exception as error:  # whatever it is, the server names this site and goes on
            return failure_of(error)

    def _listed(self, action: str, payload: object) -> Outcome | None:
        """Go by the list of members that the server shows when it greets; an outcome if refused."""
        text = payload.get("members") if isinstance(payload, dict) else None
        if action != "handshake" or not isinstance(text, str):
            return None
        from fedket.deploy.identity.kits import keep_list

        try:
            with self._lock:
                if keep_list(self._folder(), text) and self._open is not None:
                    self._close_files()
        except Exception as error:
            return failure_of(error)
        return None

    def _compile(self, payload: Payload, program: str) -> None:
        """Let another process compile what the setup will ask for."""
        from fedket.deploy.agreed import sizes_in
        from fedket.deploy.compile_cache import compile_apart
        from fedket.deploy.files import SITE

        classes, largest = sizes_in(payload)
        folder = self._folder()
        with self._compiling:  # a server that asks again finds it done
            compile_apart(folder / SITE, classes, largest, program)

    def _opened(self) -> "tuple[SiteFile, StoreKeys, Site]":
        from fedket.compile_cache import keep_compiled
        from fedket.deploy.compile_cache import CACHE
        from fedket.deploy.files import SITE, read_experiment, read_site, sae_ids, seats_of
        from fedket.deploy.given import GivenUpdates
        from fedket.deploy.operating.account import SiteAccount
        from fedket.deploy.operating.consent import check_consent
        from fedket.deploy.party_keys import open_store_keys
        from fedket.deploy.site import Parts, Site
        from fedket.deploy.site_data import load_site_data
        from fedket.deploy.site_trainer import training_parts
        from fedket.deploy.statistics_task import (
            check_statistics,
            statistics_experiment,
            statistics_fingerprint,
            statistics_parts,
            to_all_or_none,
        )
        from fedket.experiment.load import load_config
        from fedket.experiment.run_directory import config_hash

        folder = self._folder()
        keep_compiled(folder / CACHE)
        file = read_site(folder / SITE)
        seats, founded = seats_of(file), load_config(file.experiment)
        check_consent(folder, founded, file)
        config, fingerprint = read_experiment(file.experiment, len(seats)), config_hash(founded)
        parts: Parts = training_parts
        if self._greeted == statistics_fingerprint(founded):
            check_statistics(file)
            fingerprint, parts = str(self._greeted), statistics_parts
            config, self._counts = statistics_experiment(config), True
        dataset = load_site_data(file, config)
        ids = sae_ids(file.saes, len(file.sites))
        keys = open_store_keys(file.client, file.store, file.sae, ids, self._way(file.sites))
        try:
            remember = GivenUpdates(folder, fingerprint).give
            give = to_all_or_none(remember) if self._counts else remember
            site = Site(
                file.name,
                file.client,
                config,
                dataset,
                keys,
                give,
                folder,
                file.min_sites,
                parts,
                fingerprint,
                seats,
            )
            site.instance = self._instance
            about = config.name, fingerprint, config.federation.rounds
            self._account = SiteAccount(folder, file.sites, *about, keys.left)
        except BaseException:  # what failed is said next time, not that the store is open
            keys.close()
            raise
        return file, keys, site


def _number(file: "SiteFile", name: str) -> int | None:
    """Return the number of a site that has not left, or None."""
    from fedket.deploy.files import seats_of

    return next((i for i in seats_of(file) if file.sites[i] == name), None)
