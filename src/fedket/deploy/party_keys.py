"""One party's ends of its links: its pad store, its key manager, and what it says to its peers.

The messages between two parties go through the server, see `fedket.keys.link`; they hold no key.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Protocol, runtime_checkable

from fedket.deploy.keyless import LinkFault, LinksWithoutKeyError
from fedket.deploy.refill import Need, Refill
from fedket.errors import FedketError, KeyMaterialError, ProtocolError
from fedket.keys.etsi014.client import connect
from fedket.keys.etsi014.config import SaeConfig
from fedket.keys.etsi014.errors import (
    AgreementError,
    KmeBusyError,
    KmeCertificateError,
    KmeError,
    KmeUnreachableError,
)
from fedket.keys.link import Link
from fedket.keys.store import PadStore, StoreKeySource
from fedket.schema import read_table
from fedket.secure.phases import Payload, octets
from fedket.types import KeySource, Stream

AskPeer = Callable[[int, str, Payload], Payload]
"""(party, action, payload) -> that party's answer; raises `PeerSilentError` without one."""

AHEAD = 16
"""Rounds whose key is fetched ahead: a fetch costs more than the key of a small round."""

LARGE_AHEAD, LARGE_BYTES = 4, 1 << 22
"""Where those take more than so many bytes of a link: that many, or the key of so few rounds if
that is more. 16 rounds of 10^7 values are 320 MB."""

CLOSE_S = 2.0
"""Seconds that fetches under way have to end when a party closes its store."""

FOR_ALL = (KmeUnreachableError, KmeCertificateError)
"""Troubles with our key manager that are not about one link."""

PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds to wait before each further attempt when a KME has too little key."""


@runtime_checkable
class PartyKeys(Protocol):
    """What a site, or the server, needs of its keys."""

    def source(self, session: str) -> KeySource:
        """Return the key source of a session."""
        ...

    def links(self, peers: Collection[int]) -> None:
        """Confirm the links with these peers; between rounds only."""
        ...

    def fill(self, lengths: Mapping[Stream, int]) -> int:
        """Have these numbers of bytes ready on streams that this party sends on.

        Returns:
            For how many rounds like this one they are, 1 or more.
        """
        ...

    def answer(self, peer: int, action: str, payload: Payload) -> Payload:
        """Answer a peer's message about a link."""
        ...


class StoreKeys:
    """Keys of one party from its own key manager; see `PartyKeys`.

    Args:
        me: This party, a client or `SERVER`.
        store: Its pad store.
        sae: How it reaches its key manager; None if the store was filled beforehand.
        sae_ids: Party -> its SAE ID, for all parties of the federation.
        ask_peer: Way to the other parties.
        pauses: Seconds to wait before each further attempt when a KME has too little key.
    """

    def __init__(
        self,
        me: int,
        store: PadStore,
        sae: SaeConfig,
        sae_ids: Mapping[int, str],
        ask_peer: AskPeer,
        pauses: Sequence[float] = (),
    ) -> None:
        self._me, self._store, self._stack = me, store, ExitStack()
        self._refill = Refill()
        kme = self._stack.enter_context(connect(sae))

        def link(peer: int) -> Link:
            def say(action: str, message: Mapping[str, bytes]) -> Mapping[str, bytes]:
                answer = ask_peer(peer, action, dict(message))
                return {name: octets(answer, name) for name in answer}

            return Link(me, peer, store, kme, sae_ids[peer], say, pauses)

        self._one_kme = not sae.links
        self._links = {peer: link(peer) for peer in sae_ids if peer != me}
        self._needed: dict[Stream, int] = {}

    def close(self) -> None:
        """End what is being fetched, close the connection to the key manager, and the store."""
        self._refill.close(CLOSE_S)
        self._stack.close()
        self._store.close()

    def source(self, session: str) -> KeySource:
        """Return the key source of a session, over the party's own store.

        It gives key of confirmed links only, whatever a round asks for.
        """
        return StoreKeySource({self._me: self._store}, session, self._admit)

    def links(self, peers: Collection[int]) -> None:
        """Confirm the links with these peers, as the end that asks.

        Raises:
            LinksWithoutKeyError: Some of them cannot be; they stay shut.
        """
        self._raise(self._confirmed(peers))

    def fill(self, lengths: Mapping[Stream, int]) -> int:
        """Have these bytes in store; more key comes when the round has begun, not before.

        A link that could not be confirmed when its ends met is confirmed here.

        Raises:
            KmeBusyError: Our key manager has too little now.
            LinksWithoutKeyError: Some links bring no key, and waiting would not help.
        """
        self._needed |= lengths
        shut = [s[1] for s in lengths if not self._link(s[1]).is_confirmed()]
        failed = self._confirmed(shut)
        needs = {s: self._need(s, n) for s, n in lengths.items() if s[1] not in failed}
        failed |= {s[1]: error for s, error in self._refill.wait_for(needs).items()}
        self._raise(failed)
        taken = [(stream, n) for stream, n in lengths.items() if n]
        return min((self._store.available(s) // n for s, n in taken), default=AHEAD)

    def _confirmed(self, peers: Iterable[int]) -> dict[int, Exception]:
        """Confirm links; returns peer -> why one cannot be."""
        failed: dict[int, Exception] = {}
        for peer in peers:
            try:
                first = next(iter(failed.values()), None)
                if self._one_kme and isinstance(first, FOR_ALL):
                    raise first  # it would be the same with everybody
                self._link(peer).confirm()
            except KmeError as error:
                failed[peer] = error
        return failed

    def _raise(self, failed: Mapping[int, Exception]) -> None:
        """Say which links bring no key; those that are only slow, if there are no others."""
        faults = []
        for peer, error in failed.items():
            if not isinstance(error, KmeError):
                raise error
            if not isinstance(error, KmeBusyError):
                theirs = isinstance(error, AgreementError)
                faults.append(LinkFault(self._me, peer, theirs, str(error)))
        if faults:
            raise LinksWithoutKeyError(faults)
        for error in failed.values():
            raise error

    def left(self) -> dict[int, tuple[int, float]]:
        """Peer -> bytes ready on the stream to it, and for how many rounds like the last one."""
        needed = {s: n for s, n in dict(self._needed).items() if n}
        ready = {stream: self._store.available(stream) for stream in needed}
        return {s[1]: (ready[s], round(ready[s] / n, 1)) for s, n in needed.items()}

    def _need(self, stream: Stream, length: int) -> Need:
        available = partial(self._store.available, stream)
        ahead = max(LARGE_AHEAD * length, min(AHEAD * length, LARGE_BYTES))
        return Need(length, ahead, available, self._link(stream[1]).fill)

    def _admit(self, streams: Collection[Stream]) -> None:
        """A round begins: only now is there time for the key of rounds to come."""
        self._check_confirmed(streams)
        own = {stream: self._needed[stream] for stream in streams if stream in self._needed}
        self._refill.go_ahead({stream: self._need(stream, n) for stream, n in own.items()})

    def answer(self, peer: int, action: str, payload: Payload) -> Payload:
        """Answer what a peer says about the link with it.

        Raises:
            ProtocolError: It makes no sense.
            KmeError: Somebody else says it, or it cannot be followed.
        """
        message = {name: octets(payload, name) for name in payload}
        return dict(self._link(peer).answer(action, message))

    def _check_confirmed(self, streams: Collection[Stream]) -> None:
        for peer in {end for stream in streams for end in stream} - {self._me}:
            self._link(peer).check_confirmed()

    def _link(self, peer: int) -> Link:
        if peer not in self._links:
            raise ProtocolError(f"party {self._me} has no link with party {peer}")
        return self._links[peer]


def open_store_keys(
    me: int, store: Path, sae: Path, sae_ids: Mapping[int, str], ask_peer: AskPeer
) -> StoreKeys:
    """Open a party's pad store and its way to its key manager.

    Raises:
        ConfigError: The SAE's file is bad.
        KeyMaterialError: The store is in use, damaged or another party's.
    """
    config = read_own_sae(sae, sae_ids[me])
    opened = PadStore.open(store, me)
    try:
        return StoreKeys(me, opened, config, sae_ids, ask_peer, PAUSES)
    except FedketError:
        opened.close()
        raise


def read_own_sae(path: Path, sae_id: str) -> SaeConfig:
    """Read how a party reaches its key manager.

    Raises:
        ConfigError: The file is bad.
        KeyMaterialError: It is another party's.
    """
    config = read_table(path, SaeConfig)
    if config.sae_id != sae_id:
        raise KeyMaterialError(
            f"{path} is for the SAE `{config.sae_id}`, the federation knows this party as "
            f"`{sae_id}`; correct one of the two"
        )
    return config
