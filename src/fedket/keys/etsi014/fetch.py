"""Filling a stream with key from two KMEs: the fetch loops of both ends.

The master asks for keys of the largest size, as many per call as its KME allows, and the slave
fetches each batch before the next is asked for, because some KMEs throw an unfetched batch away.
A batch is deposited as one piece: its keys one after the other, under `batch_id`.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple, TypeVar

from fedket.keys.etsi014.agreement import (
    SlaveState,
    accept,
    announce,
    batch_id,
    commit,
    confirm,
    new_master,
    repeated,
    settle,
)
from fedket.keys.etsi014.answers import DeliveredKey
from fedket.keys.etsi014.client import Kme
from fedket.keys.etsi014.errors import (
    AgreementError,
    KmeBusyError,
    KmeError,
    KmeRefusedError,
    KmeUnreachableError,
    PeerSilentError,
)
from fedket.keys.etsi014.messages import Announce, Commit, Confirm, Done
from fedket.keys.etsi014.sizing import Request, plan, shrink
from fedket.keys.material import KeyMaterial
from fedket.types import Secret, Stream

T = TypeVar("T")
Keys = tuple[DeliveredKey, ...]

LATER = (KmeBusyError, KmeUnreachableError)
"""What a KME may recover from."""

Deposit = Callable[[Stream, str, Secret], object]
"""Append key, under a name, to a stream for good: `PadStore.deposit`."""

Exchange = Callable[[Announce | Commit], Confirm | Done]
"""Send a message to the other end and return its reply; raises `PeerSilentError` without one."""


class Fetched(NamedTuple):
    """What one fetch brought.

    Attributes:
        num_bytes: Key bytes deposited at both ends.
        num_keys: Keys they came in.
        num_batches: Batches that were agreed.
        lost_keys: Keys fetched by the master that the ends did not agree on, never deposited.
    """

    num_bytes: int
    num_keys: int
    num_batches: int
    lost_keys: int


class MasterEnd:
    """The end of a stream that calls `enc_keys`; keeps its agreement state between fetches.

    Args:
        stream: Where the keys go.
        kme: Our KME.
        peer: The slave's SAE ID.
        exchange: Way to the slave's `SlaveEnd.answer`.
        deposit: Our pad store.
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
        deposit: Deposit,
        pauses: Sequence[float] = (),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.state = new_master(stream)
        self._kme, self._peer = kme, peer
        self._exchange, self._deposit = exchange, deposit
        self._pauses, self._sleep = tuple(pauses), sleep

    def fetch(self, num_bytes: int) -> Fetched:
        """Deposit at least `num_bytes` more at both ends; more by less than one key.

        Raises:
            KmeBusyError, KmeUnreachableError, AgreementError: Still, after the last pause. What
                was agreed until then is deposited, and a later fetch goes on from there.
            KmeError: Of another kind, at once.
        """
        pauses, total = iter(self._pauses), Fetched(0, 0, 0, 0)
        if self.state.commit is not None:
            total = _add(total, self._end_doubt(self.state.commit, pauses), 0)
        ask = partial(self._kme.status, self._peer)
        status = _patiently(ask, LATER, pauses, self._sleep)
        shrunk: Request | None = None
        while total.num_bytes < num_bytes:
            request = shrunk or plan(status, num_bytes - total.num_bytes)
            try:
                keys = self._kme.enc_keys(self._peer, request.number, request.size_bytes * 8)
            except LATER as error:
                _wait(error, pauses, self._sleep)
                shrunk = shrink(request, status)
                continue
            agreed = self._agree(keys, request.size_bytes * 8, pauses)
            total, shrunk = _add(total, agreed, len(keys) - len(agreed)), None
        return total

    def _agree(self, keys: Keys, size_bits: int, pauses: Iterator[float]) -> Keys:
        """Take one batch through its four messages; returns the keys that were deposited."""
        self.state, message = announce(self.state, keys, size_bits)
        reply = self._say(message, pauses)
        if not isinstance(reply, Confirm):
            raise AgreementError(f"{self._peer} answered an announcement with a receipt")
        self.state, decision = commit(self.state, reply)
        if decision is not None:
            return self._end_doubt(decision, pauses)
        self.state = new_master(self.state.stream)  # this session may be the one it turned down
        reason = " ".join(reply.problem.split()) or "no reason given"
        error = AgreementError(f"{self._peer} got none of the {len(keys)} keys: {reason}")
        _wait(error, pauses, self._sleep)
        return ()

    def _end_doubt(self, decision: Commit, pauses: Iterator[float]) -> Keys:
        """Repeat a commit until it is answered, then deposit; returns the keys deposited."""
        reply = self._say(decision, pauses)
        if not isinstance(reply, Done):
            raise AgreementError(f"{self._peer} answered a commit with a confirmation")
        state, keys = settle(self.state, reply)
        _deposit(self._deposit, state.stream, keys)
        self.state = state  # only now: if the deposit failed, the batch is still in doubt
        return keys

    def _say(self, message: Announce | Commit, pauses: Iterator[float]) -> Confirm | Done:
        attempt = partial(self._exchange, message)
        return _patiently(attempt, (PeerSilentError,), pauses, self._sleep)


class SlaveEnd:
    """The end of a stream that calls `dec_keys`.

    Args:
        stream: Where the keys go.
        kme: Our KME.
        peer: The master's SAE ID.
        deposit: Our pad store.
        pauses: Seconds to wait before each further `dec_keys` for one announcement, when our KME
            is busy or does not have the keys (yet: it may hear of them later than the master).
        sleep: How to wait.
    """

    def __init__(
        self,
        stream: Stream,
        kme: Kme,
        peer: str,
        deposit: Deposit,
        pauses: Sequence[float] = (),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.state = SlaveState(stream)
        self._kme, self._peer, self._deposit = kme, peer, deposit
        self._pauses, self._sleep = tuple(pauses), sleep

    def answer(self, message: Announce | Commit) -> Confirm | Done:
        """Do what the master's message asks and return the reply to send.

        Raises:
            AgreementError: The message is for another stream.
        """
        again = repeated(self.state, message)
        if again is not None:
            return again
        if isinstance(message, Announce):
            keys, problem = self._fetch(message)
            self.state, confirmation = confirm(self.state, message, keys, problem)
            return confirmation
        state, receipt, keys = accept(self.state, message)
        _deposit(self._deposit, state.stream, keys)
        self.state = state  # only now: if the deposit failed, the commit may come again
        return receipt

    def _fetch(self, message: Announce) -> tuple[Keys, str]:
        ask = partial(self._kme.dec_keys, self._peer, message.key_ids, message.size_bits)
        try:
            return _patiently(ask, (*LATER, KmeRefusedError), iter(self._pauses), self._sleep), ""
        except KmeError as error:
            return (), str(error)


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


def _deposit(deposit: Deposit, stream: Stream, keys: Keys) -> None:
    if keys:
        secret = b"".join(key.secret.reveal() for key in keys)
        deposit(stream, batch_id(key.key_id for key in keys), KeyMaterial(secret))


def _add(total: Fetched, agreed: Keys, lost: int) -> Fetched:
    return Fetched(
        total.num_bytes + sum(len(key.secret) for key in agreed),
        total.num_keys + len(agreed),
        total.num_batches + bool(agreed),
        total.lost_keys + lost,
    )
