"""Clients, updates and key sources for the tests of Protocol A."""

import numpy as np

from fedket.keys.os_random import OsRandomSource
from fedket.secure.channel import ChannelState, authenticated_client, authenticated_server
from fedket.secure.pairwise.client import ClientState, pairwise_client
from fedket.secure.pairwise.server import pairwise_server
from fedket.secure.pairwise.terms import higher, lower, make_terms, num_messages, terms_payload
from fedket.secure.phases import Failure, Reply, drive, in_process
from fedket.secure.protocol import Party
from fedket.secure.words import pack_words, unpack_words, word_dtype


class Recorder:
    """A key source that remembers the pads it handed out: (round, stream) -> pieces."""

    def __init__(self):
        self.source = OsRandomSource()
        self.pads = {}
        self.reserve, self.accept = self.source.reserve, self.source.accept
        self.burn = self.source.burn

    def spend(self, round_num, client_id, stream, start, num_bytes):
        secret = self.source.spend(round_num, client_id, stream, start, num_bytes)
        if client_id == stream[0]:
            self.pads.setdefault((round_num, stream), []).append(secret.reveal())
        return secret


class OnePadForever:
    """What must never be: the same pad in every round and on every stream."""

    def __init__(self, pad: bytes):
        self.pad = pad

    def reserve(self, round_num, client_id, lengths):
        return dict.fromkeys(lengths, 0)

    def accept(self, *args):
        pass

    burn = accept

    def spend(self, round_num, client_id, stream, start, num_bytes):
        return self

    def reveal(self):
        return self.pad


def updates_of(seed, ids, num_words=13, word_bits=16):
    rng = np.random.default_rng(seed)
    top = 2**word_bits - 1
    return {
        i: rng.integers(0, top, num_words, np.uint64, endpoint=True).astype(word_dtype(word_bits))
        for i in ids
    }


def handlers_of(updates, keys):
    return {i: pairwise_client(i, keys, lambda _, i=i: updates[i]) for i in updates}


def fresh(ids):
    return {i: ClientState() for i in ids}


def low_bits(words, word_bits):
    return unpack_words(pack_words(words, word_bits), len(words), word_bits)


def ring_sum(updates, word_bits=16):
    present = [words for words in updates.values() if words is not None]
    return low_bits(np.add.reduce(present, dtype=present[0].dtype), word_bits)


def serve(ids, round_num=1, num_words=13, word_bits=16, **options):
    return pairwise_server(make_terms(round_num, ids, num_words, word_bits, **options))


def asked_up_to_upload(ids, keys, updates, round_num=1, states=None, **options):
    """Handlers and states of clients that are READY."""
    handlers, states = handlers_of(updates, keys), states or fresh(ids)
    terms = make_terms(round_num, ids, len(updates[ids[0]]), 16, **options)
    offers = {}
    for i in ids:
        outcome, states[i] = handlers[i]("reserve", terms_payload(terms), states[i])
        offers[i] = dict(zip(higher(terms, i), outcome.payload["offsets"], strict=True))
    for i in ids:
        outcome, states[i] = handlers[i]("ready", ready(terms, i, offers), states[i])
        assert isinstance(outcome, Reply)
    return handlers, states


def ready(terms, client_id, offers):
    senders = list(lower(terms, client_id))
    offsets = [offers[i][client_id] for i in senders]
    return {"round_num": terms.round_num, "senders": senders, "offsets": offsets}


def upload(members, num_words=13, round_num=1, offset=0):
    request = {"round_num": round_num, "offset": offset, "num_words": num_words}
    return {**request, "members": list(members)}


class Wire:
    """The network between server and clients in one process, in the hands of `attack`.

    Args:
        updates: Client -> words.
        source: Key source of all parties.
        mac: False is the naive variant without authentication.
        attack: (client, action, "request" or "answer", payload) -> payload to deliver instead.
    """

    def __init__(self, updates, source, *, mac=True, attack=lambda *message: message[3]):
        self.ids, self.mac, self.attack = tuple(updates), mac, attack
        self.keys = Party("a run", source)
        handlers = handlers_of(updates, source)
        if mac:
            handlers = {i: authenticated_client(h, i, self.keys) for i, h in handlers.items()}
        self.handlers = {i: self._tapped(i, h) for i, h in handlers.items()}
        self.states = {i: ChannelState(ClientState()) if mac else ClientState() for i in updates}

    def run(self, round_num=1, word_bits=16, **options):
        terms = make_terms(round_num, self.ids, 13, word_bits, **options)
        server = pairwise_server(terms)
        if self.mac:
            count = num_messages(terms)
            server = authenticated_server(server, self.keys, round_num, self.ids, count)
        return drive(server, in_process(self.handlers, self.states))

    def _tapped(self, client_id, handler):
        def handle(action, payload, state):
            payload = self.attack(client_id, action, "request", payload)
            outcome, state = handler(action, payload, state)
            if isinstance(outcome, Failure):
                return outcome, state
            return Reply(self.attack(client_id, action, "answer", outcome.payload)), state

        return handle
