"""A link between two parties whose messages a third one carries, and may forge or leave out.

An old copy of a party's store, restored, knows nothing of the key that was used since. So a link
stays shut, from the start of either process, until its ends have confirmed to each other how far
each has used which key. The end that asks is called A, the other one B:

    A                                            B
    takes one fresh key K from its KME
    "connect": name of K, nonce, A's marks   ->  fetches K
                                             <-  nonce, B's marks, HMAC(K, reply, both messages)
    checks, goes on from the higher marks
    "connected": HMAC(K, done, both messages) -> checks, goes on from the higher marks

Marks stand for all that `fedket.keys.store.connect` compares. Each HMAC covers both nonces, so an
old conversation answers no new one, and both statements were made after this one began. K has its
secrecy from the KMEs, as all pads have, and is never on disk: a restored store cannot bring it
back. It lives as long as both processes, and authenticates what they say about keys to come.

HMAC-SHA-256 (RFC 2104) rather than a one-time MAC: a KME that is itself restored may deliver K
twice, which one-time MACs do not survive and a keyed hash with nonces does. So *this* defence is
computational; it is needed only against who carries messages and lies, after a restore.
"""

import hashlib
import hmac
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from threading import Lock, RLock
from typing import Annotated, NamedTuple

from pydantic import Field

from fedket.keys.etsi014.agreement import Announce, Confirm, Message, Offset, read_message
from fedket.keys.etsi014.client import Kme
from fedket.keys.etsi014.errors import AgreementError, EndsApartError, KmeError
from fedket.keys.etsi014.fetch import MasterEnd, SlaveEnd, joined
from fedket.keys.etsi014.models import Bits, KeyId
from fedket.keys.etsi014.patience import fetch_chosen, fetch_new
from fedket.keys.etsi014.pipeline import Keys
from fedket.keys.material import KeyMaterial
from fedket.keys.store import PadStore
from fedket.keys.store.connect import agreed_end
from fedket.keys.store.streams import Deposited
from fedket.types import SERVER, Stream

KEY_BYTES = 32
LEAST_KEY_BYTES = 16
NONCE_BYTES = 16

Say = Callable[[str, Mapping[str, bytes]], Mapping[str, bytes]]
"""(action, message) -> the other end's answer; raises `PeerSilentError` without one."""


class StreamEnd(Message):
    """Where a stream stands at one end: its mark, and the keys from there on."""

    stream: Stream
    mark: Offset
    keys: tuple[tuple[Offset, Offset, Annotated[str, Field(max_length=200)]], ...]


class Statement(Message):
    """What an end says of its streams; the nonce is another one every time."""

    party: int
    nonce: Annotated[str, Field(pattern=rf"^[0-9a-f]{{{2 * NONCE_BYTES}}}$")]
    ends: Annotated[tuple[StreamEnd, ...], Field(max_length=2)]


class Hello(Message):
    """A: my statement, and the names of the keys that make K; none is the K that we have."""

    statement: Statement
    key_ids: Annotated[tuple[KeyId, ...], Field(max_length=KEY_BYTES)]
    size_bits: Bits | None


class _Asked(NamedTuple):
    """B's memory of a conversation that A has yet to end."""

    key: KeyMaterial
    said: tuple[bytes, bytes]
    theirs: Statement
    ours: Statement


class Link:
    """One party's end of its link with another one, shut until it is confirmed.

    Args:
        me: This party.
        peer: The other one.
        store: This party's pad store.
        kme: Its key manager.
        sae_id: The other party's SAE ID.
        say: Way to the other party's `answer`.
        pauses: Seconds to wait before each further attempt when a KME has too little key.
    """

    def __init__(
        self,
        me: int,
        peer: int,
        store: PadStore,
        kme: Kme,
        sae_id: str,
        say: Say,
        pauses: Sequence[float] = (),
    ) -> None:
        self._me, self._peer, self._store, self._kme = me, peer, store, kme
        self._sae_id, self._say, self._pauses = sae_id, say, tuple(pauses)
        self._key: KeyMaterial | None = None
        self._asked: _Asked | None = None
        self._lock, self._asking, self._failed = Lock(), RLock(), False
        self._sends, self._receives = (me, peer), (peer, me)
        self._master = MasterEnd(self._sends, kme, sae_id, self._announce, store, self._pauses)
        self._slave = SlaveEnd(self._receives, kme, sae_id, store, self._pauses)

    def is_confirmed(self) -> bool:
        """Whether its key may be used."""
        return self._key is not None

    def check_confirmed(self) -> KeyMaterial:
        """Return K.

        Raises:
            AgreementError: The link has not been confirmed since this process began.
        """
        if self._key is None:
            raise AgreementError(
                f"the link with {_name(self._peer)} has not been confirmed since this process "
                "began, so its key stays where it is; the server has to connect both ends first"
            )
        return self._key

    def confirm(self) -> None:
        """Compare marks and keys with the other end under a fresh K; between rounds only.

        Raises:
            KmeError: A key manager has no key for K, the other end does not answer, or somebody
                else answers in its place.
        """
        with self._asking, self._once_patient() as pauses:
            keys = fetch_new(self._kme, self._sae_id, KEY_BYTES, pauses)
            self._connect(_sound(joined(keys)), (self._sends, self._receives), keys)

    def fill(self, num_bytes: int, at_once: int = 0) -> None:
        """Fetch at least so many bytes more for the stream that this party sends on.

        Args:
            num_bytes: Without which this does not return.
            at_once: As many as that, if one batch may have so many.

        Raises:
            KmeError: A key manager has too little, refuses, or is not there; or the link has not
                been confirmed.
        """
        key = self.check_confirmed()
        try:
            self._master.fetch(num_bytes, at_once)
        except EndsApartError:  # an end was restarted, or an old message came late
            with self._asking:
                self._connect(key, (self._sends,))
            self._master.fetch(num_bytes, at_once)

    def answer(self, action: str, message: Mapping[str, bytes]) -> Mapping[str, bytes]:
        """Answer the other end.

        Args:
            action: `connect`, `connected` or `agree`.
            message: With `content`, and a `tag` in the latter two.

        Raises:
            AgreementError: It makes no sense, or somebody else says it.
        """
        content, tag = message.get("content", b""), message.get("tag", b"")
        with self._lock:
            if action == "connect":
                return self._hear(content)
            if action == "connected":
                return self._end(tag)
            if action == "agree":
                return self._agree(content, tag)
        raise AgreementError(f"`{action}` is not a message about a link")

    def _connect(self, key: KeyMaterial, named: Collection[Stream], keys: Keys = ()) -> None:
        """A's part; `keys` make a new K, without any it is the one that both ends have."""
        ours, ids = self._statement(named), tuple(k.key_id for k in keys)
        size_bits = 8 * len(keys[0].secret) if keys else None
        hello = Hello(statement=ours, key_ids=ids, size_bits=size_bits)
        first = hello.model_dump_json().encode()
        reply = self._say("connect", {"content": first})
        second = reply.get("content", b"")
        self._check(key, reply.get("tag", b""), "reply", first, second)
        theirs = self._read(second)
        self._align(ours, theirs)
        self._say("connected", {"tag": _tag(key, "done", first, second)})
        self._key = key

    def _hear(self, first: bytes) -> Mapping[str, bytes]:
        """B's answer to `connect`: its own statement, nothing else changes."""
        hello = read_message(Hello, first)
        theirs = self._own(hello.statement)
        key = self._key_of(hello)
        ours = self._statement([end.stream for end in theirs.ends])
        second = ours.model_dump_json().encode()
        self._asked = _Asked(key, (first, second), theirs, ours)
        return {"content": second, "tag": _tag(key, "reply", first, second)}

    def _end(self, tag: bytes) -> Mapping[str, bytes]:
        """B's answer to `connected`: now it knows that A said all this just now."""
        asked, self._asked = self._asked, None
        if asked is None:
            raise AgreementError(f"{_name(self._peer)} ends a conversation that it did not begin")
        self._check(asked.key, tag, "done", *asked.said)
        self._align(asked.ours, asked.theirs)
        self._key = asked.key
        return {}

    def _key_of(self, hello: Hello) -> KeyMaterial:
        if not hello.key_ids or hello.size_bits is None:
            return self.check_confirmed()
        ids, size_bits = hello.key_ids, hello.size_bits
        with self._once_patient() as pauses:
            keys = fetch_chosen(self._kme, self._sae_id, ids, size_bits, pauses)
        return _sound(joined(keys))

    @contextmanager
    def _once_patient(self) -> Iterator[tuple[float, ...]]:
        """Yield the pauses of an attempt: none after one that had them for nothing."""
        try:
            yield () if self._failed else self._pauses
        except KmeError:
            self._failed = True
            raise
        self._failed = False

    def _statement(self, named: Collection[Stream]) -> Statement:
        marks, held = self._store.high_water_marks(), self._store.deposits()
        ends = tuple(
            StreamEnd(
                stream=s, mark=marks.get(s, 0), keys=tuple((*key,) for key in held.get(s, ()))
            )
            for s in named
        )
        return Statement(party=self._me, nonce=os.urandom(NONCE_BYTES).hex(), ends=ends)

    def _read(self, content: bytes) -> Statement:
        return self._own(read_message(Statement, content))

    def _own(self, statement: Statement) -> Statement:
        """Refuse a statement of somebody else, or about other links."""
        spoken_of = {end.stream for end in statement.ends}
        if statement.party != self._peer or not spoken_of <= {self._sends, self._receives}:
            raise AgreementError(f"{_name(self._peer)} speaks of links that are not its own")
        return statement

    def _align(self, ours: Statement, theirs: Statement) -> None:
        """Go on from the higher marks, with the keys that both ends hold in the same places."""
        told = {end.stream: end for end in theirs.ends}
        both = [(end, told[end.stream]) for end in ours.ends if end.stream in told]
        marks = {end.stream: max(end.mark, other.mark) for end, other in both}
        ends = {
            end.stream: agreed_end(marks[end.stream], _keys(end), _keys(other))
            for end, other in both
        }
        with self._master.settled:  # it may be about to deposit what the other end withdraws
            self._store.advance(marks)
            self._store.withdraw(ends)
            self._master.give_up()

    def _announce(self, message: Announce) -> Confirm:
        """The way of `MasterEnd` to the other end."""
        key, said = self.check_confirmed(), message.model_dump_json().encode()
        reply = self._say("agree", {"content": said, "tag": _tag(key, "announce", said)})
        content = reply.get("content", b"")
        self._check(key, reply.get("tag", b""), "confirm", said, content)
        return read_message(Confirm, content)

    def _agree(self, said: bytes, tag: bytes) -> Mapping[str, bytes]:
        key = self.check_confirmed()
        self._check(key, tag, "announce", said)
        content = self._slave.answer(read_message(Announce, said)).model_dump_json().encode()
        return {"content": content, "tag": _tag(key, "confirm", said, content)}

    def _check(self, key: KeyMaterial, tag: bytes, what: str, *said: bytes) -> None:
        if not hmac.compare_digest(_tag(key, what, *said), tag):
            raise AgreementError(
                f"what came as the word of {_name(self._peer)} about the link with it fails its "
                "MAC: it was altered, is an old message, or comes from somebody else; nothing in "
                "it is used, and whoever carries the messages (the server) is to be asked why"
            )


def _tag(key: KeyMaterial, what: str, *said: bytes) -> bytes:
    parts = (what.encode(), *said)
    content = b"".join(len(part).to_bytes(8) + part for part in parts)
    return hmac.digest(key.reveal(), content, hashlib.sha256)


def _sound(key: KeyMaterial) -> KeyMaterial:
    if len(key) < LEAST_KEY_BYTES:
        raise AgreementError(
            f"a link is confirmed under {LEAST_KEY_BYTES} bytes of key or more, the key managers "
            f"deliver {len(key)} at a time; have their limits changed"
        )
    return key


def _keys(end: StreamEnd) -> list[Deposited]:
    return [Deposited(*key) for key in end.keys]


def _name(party: int) -> str:
    return "the server" if party == SERVER else f"party {party}"
