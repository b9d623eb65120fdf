"""Filling a stream with key from two KMEs: the fetch loops of both ends.

The master asks for keys of the largest size, as many per call as its KME allows. A batch is what
one announcement names: the keys of one call, or of many where a call brings few; it is deposited as
one piece, its keys one after the other, under the batch's name. While the slave fetches a batch,
the master asks for the next one; of a KME that throws an unfetched batch away then (some do) it
asks for one call's keys at a time from then on.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from threading import RLock, Thread
from typing import Protocol, runtime_checkable

from fedket.errors import KeyReusedError
from fedket.keys.etsi014.agreement import Announce, Answers, Confirm, Fault, check_reply
from fedket.keys.etsi014.answers import canonical
from fedket.keys.etsi014.client import Kme
from fedket.keys.etsi014.errors import (
    EndsApartError,
    KmeError,
    KmeRefusedError,
    PeerSilentError,
    PeerWithoutKeyError,
)
from fedket.keys.etsi014.models import Status
from fedket.keys.etsi014.patience import LATER, fetch_chosen, patiently, wait
from fedket.keys.etsi014.pipeline import Gathered, Keys, collect, gather
from fedket.keys.etsi014.sizing import BATCH_BYTES, MOST_KEYS, Request, plan, shrink
from fedket.keys.material import KeyMaterial
from fedket.types import Secret, Stream

BATCH_CALLS = 256
"""Most calls whose keys one announcement names."""

Exchange = Callable[[Announce], Confirm]
"""Send a message to the other end and return its reply; raises `PeerSilentError` without one."""


@runtime_checkable
class Store(Protocol):
    """Where keys are deposited: a `PadStore`."""

    def end(self, stream: Stream) -> int:
        """Offset at which the next key of a stream goes."""
        ...

    def deposit(
        self,
        stream: Stream,
        key_id: str,
        secret: Secret,
        start: int | None = None,
        keys: Sequence[str] = (),
    ) -> object:
        """Append key, under a name, to a stream for good, at offset `start` or not at all."""
        ...


class MasterEnd:
    """The end of a stream that calls `enc_keys`; remembers the batch in doubt between fetches.

    Args:
        stream: Where the keys go.
        kme: Our KME.
        peer: The slave's SAE ID.
        exchange: Way to the slave's `SlaveEnd.answer`.
        store: Our pad store.
        pauses: Seconds to wait before each further attempt of one fetch, when a KME or the other
            end cannot serve us now; after the last, the error is raised.
        sleep: How to wait.
    """

    def __init__(
        self,
        stream: Stream,
        kme: Kme,
        peer: str,
        exchange: Exchange,
        store: Store,
        pauses: Sequence[float] = (),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._stream, self._kme, self._peer = stream, kme, peer
        self._exchange, self._store = exchange, store
        self._pauses, self._sleep = tuple(pauses), sleep
        self._in_doubt: tuple[Keys, Announce] | None = None
        self._status: Status | None = None
        self._next: Future[Gathered] | None = None
        self._ahead, self._failed = True, False
        self.settled = RLock()
        """Held while a batch is deposited, or the stream's end changes otherwise."""

    def fetch(self, num_bytes: int, at_once: int = 0) -> int:
        """Deposit at least `num_bytes` more at both ends, by less than one key; returns how many.

        Args:
            num_bytes: Without which this does not return.
            at_once: As many as that, if one batch may have so many.

        Raises:
            KmeBusyError, KmeUnreachableError, AgreementError: Still, after the last pause since the
                last batch. What was agreed until then is deposited, and a later fetch goes on from
                there.
            EndsApartError: At once; the ends have to connect first.
            KmeError: Of another kind, at once.
        """
        try:
            total = self._fetch(num_bytes, max(num_bytes, at_once), iter(self._patience()))
        except KmeError:
            self._failed = True
            raise
        self._failed = False
        return total

    def _patience(self) -> tuple[float, ...]:
        """Pauses; none after a fetch that had them for nothing."""
        return () if self._failed else self._pauses

    def _fetch(self, num_bytes: int, wanted: int, pauses: Iterator[float]) -> int:
        total = 0
        if self._in_doubt is not None:
            total = self._settle(*self._in_doubt, pauses)
        shrunk: Request | None = None
        while total < num_bytes:
            found = self._gathered(wanted - total, shrunk, pauses)
            if found.keys:
                self._look_ahead(num_bytes - total - _size(found))
                settled = self._settle(found.keys, self._announcement(found), pauses)
                total, shrunk = total + settled, None
                if settled:
                    self._failed, pauses = False, iter(self._pauses)
            elif found.error is not None:
                shrunk = self._after(found.error, found.request, pauses)
        return total

    def give_up(self) -> None:
        """Forget the batch in doubt: the ends have connected, and the slave has withdrawn it."""
        with self.settled:
            self._in_doubt = None

    def _gathered(
        self, num_bytes: int, shrunk: Request | None, pauses: Iterator[float]
    ) -> Gathered:
        """The keys that come next: those asked for ahead, or new ones."""
        if self._next is not None:
            ahead, self._next = self._next, None
            return ahead.result()
        if self._status is None:
            ask = partial(self._kme.status, self._peer)
            self._status = patiently(ask, LATER, pauses, self._sleep)
        request = shrunk or plan(self._status, num_bytes)
        calls = 1 if shrunk else self._calls(request, num_bytes)
        return gather(self._kme, self._peer, request, calls)

    def _calls(self, request: Request, num_bytes: int) -> int:
        if not self._ahead:
            return 1
        per_call = request.number * request.size_bytes
        most = min(BATCH_CALLS, MOST_KEYS // request.number, BATCH_BYTES // per_call)
        return max(1, min(most, num_bytes // per_call))

    def _look_ahead(self, num_bytes: int) -> None:
        """Ask for the next batch in a thread of its own, if there is to be one."""
        if not self._ahead or self._status is None or num_bytes <= 0:
            return
        request = plan(self._status, num_bytes)
        calls, asked = self._calls(request, num_bytes), Future[Gathered]()

        def ask() -> None:
            try:
                asked.set_result(gather(self._kme, self._peer, request, calls))
            except BaseException as error:
                asked.set_exception(error)
                if not isinstance(error, Exception):  # the end of a process, not of a fetch
                    raise

        self._next = asked
        Thread(target=ask, daemon=True).start()

    def _after(self, error: KmeError, request: Request, pauses: Iterator[float]) -> Request:
        """Wait if that may help; returns what to ask for then, which is less."""
        status, self._status = self._status, None
        if not isinstance(error, LATER) or status is None:
            raise error
        wait(error, pauses, self._sleep)
        self._status = status
        return shrink(request, status)

    def _announcement(self, found: Gathered) -> Announce:
        return Announce(
            stream=self._stream,
            start=self._store.end(self._stream),
            key_ids=tuple(key.key_id for key in found.keys),
            size_bits=8 * found.request.size_bytes,
            per_call=found.request.number,
        )

    def _settle(self, keys: Keys, message: Announce, pauses: Iterator[float]) -> int:
        """Announce a batch until it is answered; returns the bytes deposited, 0 if given up."""
        self._in_doubt = keys, message
        if self._store.end(self._stream) != message.start:  # the ends have connected meanwhile
            self._in_doubt = None
            return 0
        attempt = partial(self._exchange, message)
        reply = patiently(attempt, (PeerSilentError,), pauses, self._sleep)
        check_reply(message, reply)
        if reply.deposited:
            with self.settled:
                return self._deposit(keys, message)
        self._in_doubt = None
        reason = " ".join(reply.problem.split()) or "no reason given"
        said = f"{self._peer} got none of the {len(keys)} keys: {reason}"
        if reply.end != message.start:
            raise EndsApartError(f"{said}; let both ends connect again")
        if reply.fault == "lasting":
            raise PeerWithoutKeyError(said)
        if reply.fault == "keys" and self._ahead:
            self._ahead = False
            return 0
        wait(PeerWithoutKeyError(said), pauses, self._sleep)
        return 0

    def _deposit(self, keys: Keys, message: Announce) -> int:
        if self._in_doubt is None:  # the ends have connected, and the slave has withdrawn it
            return 0
        secret = joined(keys)
        try:
            deposit(self._store, message, keys, secret)
        except KeyReusedError as error:  # the slave has lost its memory of them
            self._in_doubt = None
            raise EndsApartError(str(error)) from None
        self._in_doubt = None  # only now: if the deposit failed, the batch is still in doubt
        return len(secret)


class SlaveEnd:
    """The end of a stream that calls `dec_keys`.

    Args:
        stream: Where the keys go.
        kme: Our KME.
        peer: The master's SAE ID.
        store: Our pad store.
        pauses: Seconds to wait before each further `dec_keys` for one announcement, when our KME
            is busy or does not have the keys (yet: it may hear of them later than the master).
        sleep: How to wait.
    """

    def __init__(
        self,
        stream: Stream,
        kme: Kme,
        peer: str,
        store: Store,
        pauses: Sequence[float] = (),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._stream, self._kme, self._peer, self._store = stream, kme, peer, store
        self._pauses, self._sleep = tuple(pauses), sleep
        self._answers = Answers(stream)
        self._failed = False
        self._fetched: tuple[str, Keys] = ("", ())
        """A batch whose deposit failed, to be made up for when its announcement comes again."""

    def answer(self, message: Announce) -> Confirm:
        """Do what the master's message asks and return the reply to send.

        Raises:
            AgreementError: The message is for another stream.
            KeyMaterialError: The deposit failed; the message may come again.
        """
        end = self._store.end(self._stream)
        known = self._answers.known(message, end)
        if known is not None:
            return known
        try:
            keys = self._fetch(message)
            self._fetched = message.batch, keys
            secret = joined(keys)
            deposit(self._store, message, keys, secret)
        except (KmeError, KeyReusedError) as error:
            self._failed = isinstance(error, LATER)
            return self._answers.refuse(message, end, str(error), _fault(error))
        self._failed, self._fetched = False, ("", ())
        return self._answers.confirm(message, end + len(secret))

    def _fetch(self, message: Announce) -> Keys:
        batch, keys = self._fetched
        if batch == message.batch:
            return keys

        pauses = () if self._failed else self._pauses

        def fetch(key_ids: Sequence[str]) -> Keys:
            size_bits = message.size_bits
            return fetch_chosen(self._kme, self._peer, key_ids, size_bits, pauses, self._sleep)

        per_call = min(message.per_call, self._kme.most_named)
        return collect(fetch, message.key_ids, per_call, self._kme.connections)


def _fault(error: Exception) -> Fault:
    """What of a slave's failure matters to the master."""
    if isinstance(error, KmeRefusedError | KeyReusedError):
        return "keys"
    return "later" if isinstance(error, LATER) else "lasting"


def _size(found: Gathered) -> int:
    return len(found.keys) * found.request.size_bytes


def deposit(store: Store, message: Announce, keys: Keys, secret: Secret) -> None:
    """Deposit a batch where its announcement says.

    Raises:
        KeyMaterialError: It cannot be; one of its keys came before.
    """
    names = [canonical(key.key_id) for key in keys]
    store.deposit(message.stream, message.batch, secret, message.start, names)


def joined(keys: Keys) -> KeyMaterial:
    """The bytes of keys, one after the other."""
    return KeyMaterial(b"".join(key.secret.reveal() for key in keys))
