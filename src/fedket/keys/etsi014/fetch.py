"""Filling a stream with key from two KMEs: the fetch loops of both ends.

The master asks for keys of the largest size, as many per call as its KME allows, and the slave
fetches each batch before the next is asked for, because some KMEs throw an unfetched batch away.
A batch is deposited as one piece: its keys one after the other, under the batch's name.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Protocol, TypeVar, runtime_checkable

from fedket.errors import KeyReusedError
from fedket.keys.etsi014.agreement import Announce, Answers, Confirm, check_reply
from fedket.keys.etsi014.answers import DeliveredKey, canonical
from fedket.keys.etsi014.client import Kme
from fedket.keys.etsi014.errors import (
    AgreementError,
    EndsApartError,
    KmeBusyError,
    KmeError,
    KmeRefusedError,
    KmeUnreachableError,
    PeerSilentError,
)
from fedket.keys.etsi014.sizing import Request, plan, shrink
from fedket.keys.material import KeyMaterial
from fedket.types import Secret, Stream

T = TypeVar("T")
Keys = tuple[DeliveredKey, ...]

LATER = (KmeBusyError, KmeUnreachableError)
"""What a KME may recover from."""

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

    def fetch(self, num_bytes: int) -> int:
        """Deposit at least `num_bytes` more at both ends, by less than one key; returns how many.

        Raises:
            KmeBusyError, KmeUnreachableError, AgreementError: Still, after the last pause. What
                was agreed until then is deposited, and a later fetch goes on from there.
            EndsApartError: At once; the ends have to connect first.
            KmeError: Of another kind, at once.
        """
        pauses, total = iter(self._pauses), 0
        if self._in_doubt is not None:
            total = self._settle(*self._in_doubt, pauses)
        ask = partial(self._kme.status, self._peer)
        status = _patiently(ask, LATER, pauses, self._sleep)
        shrunk: Request | None = None
        while total < num_bytes:
            request = shrunk or plan(status, num_bytes - total)
            size_bits = request.size_bytes * 8
            try:
                keys = self._kme.enc_keys(self._peer, request.number, size_bits)
            except LATER as error:
                _wait(error, pauses, self._sleep)
                shrunk = shrink(request, status)
                continue
            message = Announce(
                stream=self._stream,
                start=self._store.end(self._stream),
                key_ids=tuple(key.key_id for key in keys),
                size_bits=size_bits,
            )
            total, shrunk = total + self._settle(keys, message, pauses), None
        return total

    def give_up(self) -> None:
        """Forget the batch in doubt: the ends have connected, and the slave has withdrawn it."""
        self._in_doubt = None

    def _settle(self, keys: Keys, message: Announce, pauses: Iterator[float]) -> int:
        """Announce a batch until it is answered; returns the bytes deposited, 0 if given up."""
        self._in_doubt = keys, message
        if self._store.end(self._stream) != message.start:  # the ends have connected meanwhile
            self._in_doubt = None
            return 0
        attempt = partial(self._exchange, message)
        reply = _patiently(attempt, (PeerSilentError,), pauses, self._sleep)
        check_reply(message, reply)
        if reply.deposited:
            secret = joined(keys)
            self._deposit(keys, message, secret)
            self._in_doubt = None  # only now: if the deposit failed, the batch is still in doubt
            return len(secret)
        self._in_doubt = None
        reason = " ".join(reply.problem.split()) or "no reason given"
        said = f"{self._peer} got none of the {len(keys)} keys: {reason}"
        if reply.end != message.start:
            raise EndsApartError(f"{said}; let both ends connect again")
        _wait(AgreementError(said), pauses, self._sleep)
        return 0

    def _deposit(self, keys: Keys, message: Announce, secret: Secret) -> None:
        try:
            deposit(self._store, message, keys, secret)
        except KeyReusedError as error:  # the slave has lost its memory of them
            self._in_doubt = None
            raise EndsApartError(str(error)) from None


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
            return self._answers.refuse(message, end, str(error))
        self._fetched = ("", ())
        return self._answers.confirm(message, end + len(secret))

    def _fetch(self, message: Announce) -> Keys:
        batch, keys = self._fetched
        if batch == message.batch:
            return keys
        ids, size_bits = message.key_ids, message.size_bits
        return fetch_chosen(self._kme, self._peer, ids, size_bits, self._pauses, self._sleep)


def fetch_new(
    kme: Kme,
    peer: str,
    num_bytes: int,
    pauses: Sequence[float] = (),
    sleep: Callable[[float], None] = time.sleep,
) -> Keys:
    """Fetch keys of one call that nobody else has: `num_bytes`, or what one call may have at most.

    Raises:
        KmeError: By kind; `KmeBusyError` and `KmeUnreachableError` after the last pause only.
    """
    left = iter(pauses)
    status = _patiently(partial(kme.status, peer), LATER, left, sleep)
    number, size_bytes = plan(status, num_bytes)
    return _patiently(partial(kme.enc_keys, peer, number, 8 * size_bytes), LATER, left, sleep)


def fetch_chosen(
    kme: Kme,
    peer: str,
    key_ids: Sequence[str],
    size_bits: int,
    pauses: Sequence[float] = (),
    sleep: Callable[[float], None] = time.sleep,
) -> Keys:
    """Fetch the keys that a master named; its KME may know of them before ours.

    Raises:
        KmeError: Still, after the last pause.
    """
    ask = partial(kme.dec_keys, peer, key_ids, size_bits)
    return _patiently(ask, (*LATER, KmeRefusedError), iter(pauses), sleep)


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


def _patiently(
    attempt: Callable[[], T],
    kinds: tuple[type[KmeError], ...],
    pauses: Iterator[float],
    sleep: Callable[[float], None],
) -> T:
    """Attempt until it works, pausing after errors of these kinds while pauses are left."""
    while True:
        try:
            return attempt()
        except kinds as error:
            _wait(error, pauses, sleep)


def _wait(error: KmeError, pauses: Iterator[float], sleep: Callable[[float], None]) -> None:
    pause = next(pauses, None)
    if pause is None:
        raise error
    sleep(pause)
