"""One party's ends of its links: its pad store, its key manager, and what it says to its peers.

Ends in different processes agree in messages: which bytes are used (`marks`), which keys both
hold (`deposits`), and which keys a batch from the key managers has (`agree`). None of it is
secret, and none of it holds key.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from fedket.errors import FedketError, KeyMaterialError, ProtocolError
from fedket.keys.etsi014.agreement import Announce, Confirm, read_message
from fedket.keys.etsi014.client import connect
from fedket.keys.etsi014.config import SaeConfig
from fedket.keys.etsi014.errors import EndsApartError
from fedket.keys.etsi014.fetch import MasterEnd, SlaveEnd
from fedket.keys.store import PadStore, StoreKeySource
from fedket.keys.store.connect import agreed_end
from fedket.keys.store.streams import Deposited
from fedket.schema import read_table
from fedket.secure.phases import Payload, octets
from fedket.types import KeySource, Stream

AskPeer = Callable[[int, str, Payload], Payload]
"""(party, action, payload) -> that party's answer; raises `PeerSilentError` without one."""

AHEAD = 16
"""Rounds whose key is fetched at once: a fetch costs more than the key of a small round."""


@runtime_checkable
class PartyKeys(Protocol):
    """What a site, or the server, needs of its keys."""

    def source(self, session: str) -> KeySource:
        """Return the key source of a session."""
        ...

    def links(self, peers: Collection[int]) -> None:
        """Bring the links to these peers in line; between rounds only."""
        ...

    def fill(self, lengths: Mapping[Stream, int]) -> None:
        """Have these numbers of bytes ready on streams that this party sends on."""
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
        self._me, self._store, self._ask = me, store, ask_peer
        self._sae_ids, self._pauses = dict(sae_ids), tuple(pauses)
        self._stack = ExitStack()
        self._kme = self._stack.enter_context(connect(sae))
        self._masters: dict[Stream, MasterEnd] = {}
        self._slaves: dict[Stream, SlaveEnd] = {}

    def close(self) -> None:
        """Close the connection to the key manager, and the store."""
        self._stack.close()
        self._store.close()

    def source(self, session: str) -> KeySource:
        """Return the key source of a session, over the party's own store."""
        return StoreKeySource({self._me: self._store}, session)

    def links(self, peers: Collection[int]) -> None:
        """Compare marks, then keys, with each peer, and tell it what both go by."""
        for peer in peers:
            self._connect(peer, ((self._me, peer), (peer, self._me)))

    def _connect(self, peer: int, streams: Collection[Stream]) -> None:
        """Bring these streams of a link in line; `fedket.keys.store.connect` says how."""
        theirs = _read_streams(self._ask(peer, "marks", {"streams": b"[]"}))
        ours, known = self._store.high_water_marks(), {s: _offset(m) for s, m in theirs}
        both = [s for s in streams if s in ours or s in known]
        marks = {s: max(ours.get(s, 0), known.get(s, 0)) for s in both}
        self._store.advance(marks)
        said = [[list(s), mark] for s, mark in marks.items()]
        answer = _read_streams(self._ask(peer, "deposits", {"streams": _json(said)}))
        held, mine = {s: _deposited(keys) for s, keys in answer}, self._store.deposits()
        ends = {s: agreed_end(m, mine.get(s, ()), held.get(s, ())) for s, m in marks.items()}
        self._store.withdraw(ends)
        self._ask(peer, "withdraw", {"streams": _json([[list(s), e] for s, e in ends.items()])})

    def fill(self, lengths: Mapping[Stream, int]) -> None:
        """Fetch what is missing on streams that this party sends on, for rounds to come too.

        Raises:
            KmeError: A key manager has too little, refuses, or is not there.
        """
        for stream, num_bytes in lengths.items():
            missing = num_bytes - self._store.available(stream)
            if missing <= 0:
                continue
            fetch = partial(self._master(stream).fetch, missing + (AHEAD - 1) * num_bytes)
            try:
                fetch()
            except EndsApartError:  # an end was restarted, or an old message came late
                self._connect(stream[1], [stream])
                fetch()

    def answer(self, peer: int, action: str, payload: Payload) -> Payload:
        """Answer what a peer says about a link.

        Raises:
            ProtocolError: It is about another party's link, or makes no sense.
        """
        if action == "agree":
            return {"message": self._agree(peer, octets(payload, "message"))}
        told = _read_streams(payload)
        streams = dict(told)
        if any({self._me, peer} != set(stream) for stream in streams):
            raise ProtocolError(f"party {peer} speaks of links that are not its own")
        if action == "marks":
            marks = self._store.high_water_marks()
            return {"streams": _json([[list(s), m] for s, m in marks.items() if peer in s])}
        if action == "deposits":
            self._store.advance({stream: _offset(mark) for stream, mark in streams.items()})
            held = self._store.deposits()
            said = [[list(s), [list(k) for k in held.get(s, ())]] for s in streams]
            return {"streams": _json(said)}
        if action == "withdraw":
            self._store.withdraw({stream: _offset(end) for stream, end in streams.items()})
            return {"streams": b"[]"}
        raise ProtocolError(f"`{action}` is not a message about a link")

    def _agree(self, peer: int, content: bytes) -> bytes:
        message = read_message(Announce, content)
        stream = message.stream
        if stream != (peer, self._me):
            raise ProtocolError(f"party {peer} speaks of stream {stream}, which is not its own")
        if stream not in self._slaves:
            self._slaves[stream] = SlaveEnd(
                stream, self._kme, self._sae_ids[peer], self._store, self._pauses
            )
        return self._slaves[stream].answer(message).model_dump_json().encode()

    def _master(self, stream: Stream) -> MasterEnd:
        if stream not in self._masters:
            peer = stream[1]

            def exchange(message: Announce) -> Confirm:
                said = {"message": message.model_dump_json().encode()}
                return read_message(Confirm, octets(self._ask(peer, "agree", said), "message"))

            self._masters[stream] = MasterEnd(
                stream,
                self._kme,
                self._sae_ids[peer],
                exchange,
                self._store,
                self._pauses,
            )
        return self._masters[stream]


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
        return StoreKeys(me, opened, config, sae_ids, ask_peer, pauses=(1.0, 2.0, 4.0, 8.0))
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


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _read_streams(payload: Payload) -> list[tuple[Stream, Any]]:
    try:
        value = json.loads(octets(payload, "streams"))
        return [((int(sender), int(receiver)), content) for (sender, receiver), content in value]
    except (ValueError, TypeError) as error:
        raise ProtocolError(f"a message about a link is malformed: {error}") from None


def _offset(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise ProtocolError(f"a message about a link has {value!r} in the place of an offset")
    return value


def _deposited(keys: object) -> tuple[Deposited, ...]:
    try:
        return tuple(Deposited(*key) for key in keys)  # type: ignore[attr-defined]
    except TypeError as error:
        raise ProtocolError(f"a message about the keys of a link is malformed: {error}") from None
