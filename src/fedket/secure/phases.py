"""Protocols without I/O: a server that yields phases, clients that answer them.

A server protocol is a generator: it yields a `Phase` and is sent `{client_id: Reply | Failure}`.
A client is a pure handler (action, payload, state) -> (answer, state); its key source is its only
side effect. An engine carries phases and answers; `in_process` is the one for a single process.
What goes round a protocol (MACs, accounts) changes its phases and answers by `mapped`.
Payloads hold bytes, ints, strings and lists of ints, so every engine can serialise them.
"""

from collections.abc import Callable, Generator, Mapping, MutableMapping
from functools import partial
from typing import NamedTuple, TypeVar

from fedket.errors import FedketError, ProtocolError

Payload = Mapping[str, bytes | int | str | list[int]]


class Phase(NamedTuple):
    """A request of the server to some clients.

    Attributes:
        action: What to do.
        to: Client ids; the order is a hint, answers may come in any.
        payload: Arguments that all of them get.
        deadline: Seconds after which a client that has not answered counts as failed.
        each: Client id -> further arguments that only this client gets.
        pad_bits: Key bits that the phase sets aside as pads, each link's bytes counted once; for
            the accounts only.
        mac_bits: The same for MAC keys.
        answer_bytes: Bytes of values in each answer, so that an engine knows how long that takes.
    """

    action: str
    to: tuple[int, ...]
    payload: Payload
    deadline: float
    each: Mapping[int, Payload] = {}
    pad_bits: int = 0
    mac_bits: int = 0
    answer_bytes: int = 0

    def payload_for(self, client_id: int) -> Payload:
        """Return all arguments that one client gets."""
        return {**self.payload, **self.each.get(client_id, {})}


class Reply(NamedTuple):
    """A client's answer."""

    payload: Payload


class Failure(NamedTuple):
    """No answer: the client refused, broke down or missed the deadline."""

    reason: str


Outcome = Reply | Failure
Outcomes = Mapping[int, Outcome]
State = TypeVar("State")
Result = TypeVar("Result")
Server = Generator[Phase, Outcomes, Result]
Handler = Callable[[str, Payload, State], tuple[Outcome, State]]


Execute = Callable[[Phase], Outcomes]
"""Carries a phase to its clients and returns what they answered: an engine."""


def drive(server: Server[Result], execute: Execute) -> Result:
    """Run a server protocol over an engine and return its result.

    Args:
        server: A fresh server generator.
        execute: The engine, for example `in_process` or a federation of sites.
    """
    try:
        phase = next(server)
        while True:
            phase = server.send(execute(phase))
    except StopIteration as end:
        result: Result = end.value
        return result


def in_process(
    handlers: Mapping[int, Handler[State]], states: MutableMapping[int, State]
) -> Execute:
    """Return the engine of clients in this process.

    Args:
        handlers: Client id -> handler; a client without one never answers.
        states: Client id -> state, updated in place, so it is right also when the server raises.
    """

    def ask(client_id: int, phase: Phase) -> Outcome:
        handler = handlers.get(client_id)
        if handler is None:
            return Failure(f"client {client_id} did not answer within {phase.deadline:g} s")
        outcome, states[client_id] = handler(
            phase.action, phase.payload_for(client_id), states[client_id]
        )
        return outcome

    return lambda phase: {client_id: ask(client_id, phase) for client_id in phase.to}


def mapped(
    server: Server[Result],
    before: Callable[[Phase], Phase],
    after: Callable[[Phase, Outcomes], Outcomes] = lambda _, outcomes: outcomes,
) -> Server[Result]:
    """Return the same protocol with its requests and answers changed on the way.

    Args:
        server: A server generator.
        before: Phase of the protocol -> phase that is sent. An error that it raises is raised in
            the protocol, where the phase was yielded.
        after: (phase of the protocol, outcomes) -> outcomes that the protocol gets; likewise.
    """
    step = partial(next, server)
    try:
        while True:
            phase = step()
            try:
                outcomes = yield before(phase)
                step = partial(server.send, after(phase, outcomes))
            except FedketError as error:
                step = partial(server.throw, error)
    except StopIteration as end:
        result: Result = end.value
        return result


def integer(payload: Mapping[str, object], field: str) -> int:
    """Return an int field of a payload; raise `ProtocolError` when missing or something else."""
    value = payload.get(field)
    if not isinstance(value, int):
        raise _bad_field(field, "an int", value)
    return value


def integers(payload: Mapping[str, object], field: str) -> tuple[int, ...]:
    """Return a list of ints as a tuple; raise `ProtocolError` when missing or something else."""
    value = payload.get(field)
    if not isinstance(value, list) or not all(
        issubclass(kind, int) for kind in set(map(type, value))
    ):
        raise _bad_field(field, "a list of ints", value)
    return tuple(value)


def octets(payload: Mapping[str, object], field: str) -> bytes:
    """Return a bytes field of a payload; raise `ProtocolError` when missing or something else."""
    value = payload.get(field)
    if not isinstance(value, bytes):
        raise _bad_field(field, "bytes", value)
    return value


def _bad_field(field: str, wanted: str, value: object) -> ProtocolError:
    arrived = "nothing" if value is None else type(value).__name__
    return ProtocolError(
        f"field `{field}` of a message should be {wanted}, {arrived} arrived; "
        "both sides must run the same version of fedket"
    )
