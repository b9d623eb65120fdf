"""The list of members as a session of the server goes by it."""

from collections.abc import Callable
from pathlib import Path
from threading import Event

from fedket.deploy.broadcast import Call
from fedket.deploy.identity.departed import MEMBERS
from fedket.deploy.identity.members import Members, MembersChangedError, changes, read_list
from fedket.secure.phases import Failure, Outcome, Payload


class MemberCalls:
    """A way to the sites that leads to nobody who has left, and shows the others the list.

    Args:
        folder: The server's own files.
        authority: Fingerprint of the root key that signs the list; empty: there is none.
        present: Sites that had not left when the session began.
        call: The transport's way.

    Raises:
        MembersChangedError: The list is another one than that by which the session was to begin.
    """

    def __init__(self, folder: Path, authority: str, present: frozenset[int], call: Call) -> None:
        self._path, self._authority = folder / MEMBERS, authority
        self._present, self._call = present, call
        self._text = self._now()
        if self._text and frozenset(self._read(self._text).present) != present:
            raise MembersChangedError("the members changed as the session began; begin it again")

    def __call__(
        self, site: int, action: str, payload: Payload, seconds: float, given_up: Event
    ) -> Outcome:
        """Ask a site."""
        if site not in self._present:
            return Failure("has left the federation")
        if action == "handshake" and self._text:
            payload = {**payload, "members": self._text}
        return self._call(site, action, payload, seconds, given_up)

    def check(self, say: Callable[[str], None]) -> None:
        """End the session if there is another list by now.

        Raises:
            MembersChangedError: There is.
            ConfigError: It is none.
        """
        if (text := self._now()) == self._text:
            return
        old, new = (self._read(said) for said in (self._text, text))
        say(f"{changes(old, new)}; the session begins again")
        raise MembersChangedError(changes(old, new))

    def _read(self, text: str) -> Members:
        return read_list(text, self._authority, f"{self._path}")

    def _now(self) -> str:
        return self._path.read_text(encoding="utf-8") if self._authority else ""
