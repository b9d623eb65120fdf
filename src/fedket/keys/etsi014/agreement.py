"""How the two ends of a link agree on keys although messages and answers get lost; free of I/O.

ETSI GS QKD 014 acknowledges nothing, so each end may hold keys that the other end never got. A
batch of keys therefore takes four messages; the master is the end that called `enc_keys`:

    master                              slave
    Announce(key IDs of the batch)  ->  fetches exactly these with dec_keys
                                    <-  Confirm(those it got)
    Commit(those, in this order)    ->  deposits them, once
                                    <-  Done(those)
    deposits them, once

Until it sends `Commit` the master may give the batch up; afterwards it is *in doubt* and repeats
`Commit` until `Done` arrives, before anything else. The slave answers a repeated message as it
did before. So with messages lost, repeated, delayed or reordered in any way, and both ends
running on: the master's deposits are always the first of the slave's, the same keys in the same
order, at most one batch behind, and equal once a `Done` has arrived. What is not agreed, neither
end ever deposits.

A restart of one end loses its keys that are on the way, so that the other end may hold one batch
more (key must not wait on disk in clear). The pad stores put that right on connecting: both ends
say how much a stream holds, and the one with more withdraws the rest.

A restarted master begins a new session, and so does one of whose batch nothing was confirmed; a
slave never goes back to an earlier session.
"""

import secrets
import uuid
from collections.abc import Iterable
from typing import NamedTuple

from fedket.keys.etsi014.answers import DeliveredKey, canonical
from fedket.keys.etsi014.errors import AgreementError
from fedket.keys.etsi014.messages import (
    Announce,
    BatchMessage,
    Commit,
    Confirm,
    Done,
)
from fedket.types import Stream

RETIRED = 64
"""Earlier sessions a slave remembers."""


class MasterState(NamedTuple):
    """What the master remembers of one stream.

    Attributes:
        session: Random name of this run of the master, 32 hexadecimal digits.
        stream: The stream that the keys are for.
        batch_num: Number of the latest announced batch, from 1.
        keys: Keys of that batch that are not settled.
        commit: The commit that is in doubt.
    """

    session: str
    stream: Stream
    batch_num: int = 0
    keys: tuple[DeliveredKey, ...] = ()
    commit: Commit | None = None


class SlaveState(NamedTuple):
    """What the slave remembers of one stream.

    Attributes:
        stream: The stream that the keys are for.
        confirm: The latest confirmation.
        keys: Keys confirmed there that are not settled.
        done: The latest deposit.
        retired: Earlier sessions.
    """

    stream: Stream
    confirm: Confirm | None = None
    keys: tuple[DeliveredKey, ...] = ()
    done: Done | None = None
    retired: tuple[str, ...] = ()


def new_master(stream: Stream) -> MasterState:
    """Begin a session."""
    return MasterState(secrets.token_hex(16), stream)


def batch_id(key_ids: Iterable[str]) -> str:
    """The name, the same at both ends, under which a batch of keys is deposited as one piece."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, " ".join(canonical(k) for k in key_ids)))


def announce(
    state: MasterState, keys: tuple[DeliveredKey, ...], size_bits: int
) -> tuple[MasterState, Announce]:
    """Master: give up a batch that was announced but not committed, and announce the next.

    Raises:
        AgreementError: A batch is in doubt; its commit has to be answered first.
    """
    if state.commit is not None:
        raise AgreementError(
            f"batch {state.batch_num} of stream {state.stream} is in doubt; repeat its commit "
            "until the other end answers"
        )
    message = Announce(
        session=state.session,
        stream=state.stream,
        batch_num=state.batch_num + 1,
        key_ids=tuple(key.key_id for key in keys),
        size_bits=size_bits,
    )
    return state._replace(batch_num=message.batch_num, keys=keys), message


def commit(state: MasterState, reply: Confirm) -> tuple[MasterState, Commit | None]:
    """Master: commit to the keys the slave confirmed, in the announced order; None if none.

    Raises:
        AgreementError: The confirmation is not for the announced batch, or names other keys.
    """
    _check_place(reply, state.session, state.stream, state.batch_num)
    confirmed = set(reply.key_ids)
    keys = tuple(key for key in state.keys if key.key_id in confirmed)
    if len(keys) != len(reply.key_ids):
        raise AgreementError(
            f"the other end confirmed keys that were not announced in batch {state.batch_num} of "
            f"stream {state.stream}; the batch is given up"
        )
    if not keys:
        return state._replace(keys=()), None
    message = Commit(
        session=state.session,
        stream=state.stream,
        batch_num=state.batch_num,
        key_ids=tuple(key.key_id for key in keys),
    )
    return state._replace(keys=keys, commit=message), message


def settle(state: MasterState, reply: Done) -> tuple[MasterState, tuple[DeliveredKey, ...]]:
    """Master: end the doubt; returns the keys to deposit (none if the slave lost them).

    Raises:
        AgreementError: The reply is not for the batch in doubt, or names other keys.
    """
    _check_place(reply, state.session, state.stream, state.batch_num)
    if state.commit is None or reply.key_ids not in ((), state.commit.key_ids):
        raise AgreementError(
            f"the other end deposited other keys than batch {state.batch_num} of stream "
            f"{state.stream} committed; this is a fault of the program there, do not use the stream"
        )
    return state._replace(keys=(), commit=None), state.keys if reply.key_ids else ()


def repeated(state: SlaveState, message: Announce | Commit) -> Confirm | Done | None:
    """Slave: the answer to a message that was answered before or comes too late; None if neither.

    Raises:
        AgreementError: The message is for another stream.
    """
    if message.stream != state.stream:
        raise AgreementError(
            f"a message for stream {message.stream} came to stream {state.stream}; check the "
            "party numbers of both ends"
        )
    latest, done = state.confirm, state.done
    if isinstance(message, Commit):
        same = done is not None and _batch(done) == _batch(message)
        return done if same else None
    if latest is not None and _batch(latest) == _batch(message):
        return latest
    late = _is_late(state, message)
    return _confirm(message, (), "the announcement came too late") if late else None


def confirm(
    state: SlaveState, message: Announce, keys: tuple[DeliveredKey, ...], problem: str = ""
) -> tuple[SlaveState, Confirm]:
    """Slave: hold the keys of an announcement that `repeated` does not know; drops older ones."""
    reply = _confirm(message, tuple(key.key_id for key in keys), problem)
    return _enter(state, message.session)._replace(confirm=reply, keys=keys), reply


def accept(state: SlaveState, message: Commit) -> tuple[SlaveState, Done, tuple[DeliveredKey, ...]]:
    """Slave: answer a commit that `repeated` does not know; returns the keys to deposit.

    The keys must be deposited before the reply is sent, and the new state kept only then.
    """
    held = {key.key_id: key for key in state.keys}
    known = state.confirm is not None and _batch(state.confirm) == _batch(message)
    if known and all(key_id in held for key_id in message.key_ids):
        reply = _done(message, message.key_ids)
        keys = tuple(held[key_id] for key_id in message.key_ids)
        return state._replace(keys=(), done=reply), reply, keys
    return _refuse_for_good(state, message), _done(message, ()), ()


def _refuse_for_good(state: SlaveState, message: Commit) -> SlaveState:
    """Make sure that a batch which was answered with nothing is never deposited later."""
    if _is_late(state, message):
        return state
    nothing = _confirm(message, (), "the batch was refused")
    return _enter(state, message.session)._replace(confirm=nothing, keys=())


def _is_late(state: SlaveState, message: BatchMessage) -> bool:
    """Whether a message is from an earlier session or batch."""
    latest = state.confirm
    if latest is None or message.session != latest.session:
        return message.session in state.retired
    return message.batch_num < latest.batch_num


def _enter(state: SlaveState, session: str) -> SlaveState:
    """Retire the session before this one."""
    if state.confirm is None or state.confirm.session == session:
        return state
    return state._replace(retired=(*state.retired, state.confirm.session)[-RETIRED:])


def _batch(message: BatchMessage) -> tuple[str, int]:
    return message.session, message.batch_num


def _confirm(message: BatchMessage, key_ids: tuple[str, ...], problem: str) -> Confirm:
    return Confirm(
        session=message.session,
        stream=message.stream,
        batch_num=message.batch_num,
        key_ids=key_ids,
        problem=" ".join(problem.split())[:1000],
    )


def _done(message: Commit, key_ids: tuple[str, ...]) -> Done:
    return Done(
        session=message.session,
        stream=message.stream,
        batch_num=message.batch_num,
        key_ids=key_ids,
    )


def _check_place(reply: Confirm | Done, session: str, stream: Stream, batch_num: int) -> None:
    if (reply.session, reply.stream, reply.batch_num) != (session, stream, batch_num):
        raise AgreementError(
            f"the other end answered for batch {reply.batch_num} of stream {reply.stream} in "
            f"session {reply.session[:8]}, expected batch {batch_num} of stream {stream} in "
            f"session {session[:8]}; replies must go to the message they answer"
        )
