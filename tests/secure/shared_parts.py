"""Clients, updates and faults for the tests of Protocol B."""

import numpy as np

from fedket.keys.os_random import OsRandomSource
from fedket.secure.channel import ChannelState, authenticated_client, authenticated_server
from fedket.secure.phases import Failure, Reply, drive, in_process
from fedket.secure.protocol import Party
from fedket.secure.shared_masks.client import ClientState, shared_masks_client
from fedket.secure.shared_masks.plan import Plan, terms_of
from fedket.secure.shared_masks.server import num_messages, shared_masks_server


def a_plan(colluders=1, threshold=3, bits=16, num_values=13, malicious=False):
    return Plan("a run", num_values, bits, colluders, threshold, malicious)


def updates_of(seed, ids, plan):
    rng, top = np.random.default_rng(seed), 2 ** (plan.bits - 1) - 1
    return {i: rng.integers(-top, top, plan.num_values, endpoint=True) for i in ids}


def sum_of(updates, members):
    return np.sum([updates[i] for i in members], axis=0)


class Session:
    """Clients of one process over several rounds; with `mac` over authenticated messages.

    `faults[action]` maps a client to what happens to its answer: None when it never gets the
    request, or a function of the answer's payload.
    """

    def __init__(self, plan, updates, *, mac=False, source=None):
        self.plan, self.ids = plan, tuple(sorted(updates))
        self.source, self.faults, self.phases = source or OsRandomSource(), {}, []
        self.mac = Party(plan.run_id, self.source) if mac else None
        self.handlers = {
            i: shared_masks_client(i, self.source, lambda _, i=i: updates[i], plan) for i in updates
        }
        self.states = {i: ClientState() for i in updates}
        if mac:
            self.handlers = {
                i: authenticated_client(h, i, self.mac) for i, h in self.handlers.items()
            }
            self.states = {i: ChannelState(state) for i, state in self.states.items()}

    def server(self, round_num=1):
        server = shared_masks_server(terms_of(self.plan, round_num, self.ids))
        if self.mac is None:
            return server
        messages = num_messages(self.plan)
        return authenticated_server(server, self.mac, round_num, self.ids, messages)

    def run(self, round_num=1):
        """Drive a round with the faults; returns what the server returns."""
        handlers = {i: self._faulty(i) for i in self.ids}
        return drive(self._watched(self.server(round_num)), in_process(handlers, self.states))

    def ask(self, i, action, **payload):
        """Send one client one request, without faults."""
        payload.setdefault("round_num", 1)
        outcome, self.states[i] = self.handlers[i](action, payload, self.states[i])
        return outcome

    def up_to(self, action, round_num=1):
        """Run a round until the server asks for `action`; returns that phase."""
        server = self.server(round_num)
        phase = next(server)
        while phase.action != action:
            outcomes = {}
            for i in phase.to:
                request = phase.payload_for(i)
                outcomes[i], self.states[i] = self.handlers[i](
                    phase.action, request, self.states[i]
                )
            phase = server.send(outcomes)
        return phase

    def _faulty(self, i):
        def handle(action, payload, state):
            if i not in self.faults.get(action, {}):
                return self.handlers[i](action, payload, state)
            change = self.faults[action][i]
            if change is None:
                return Failure("connection lost"), state
            outcome, state = self.handlers[i](action, payload, state)
            return (
                Reply(change(outcome.payload)) if isinstance(outcome, Reply) else outcome
            ), state

        return handle

    def _watched(self, server):
        phase = next(server)
        while True:
            outcomes = yield phase
            self.phases.append((phase, outcomes))
            try:
                phase = server.send(outcomes)
            except StopIteration as end:
                return end.value


def flipped(field, place=0):
    """Flip one bit of a bytes field of an answer."""

    def change(payload):
        data = bytearray(payload[field])
        data[place] ^= 1
        return {**payload, field: bytes(data)}

    return change


def lost(*clients):
    return dict.fromkeys(clients)
