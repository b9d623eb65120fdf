"""Clients, updates and key sources for the tests of Protocol A."""

import numpy as np

from fedket.keys.os_random import OsRandomSource
from fedket.secure.pairwise_client import ClientState, pairwise_client
from fedket.secure.phases import Reply
from fedket.secure.words import pack_words, unpack_words, word_dtype


class Recorder:
    """A key source that remembers, per (round, client, peer), the pads it handed out."""

    def __init__(self):
        self.source = OsRandomSource()
        self.pads = {}
        self.reserve, self.burn = self.source.reserve, self.source.burn

    def spend(self, round_num, client_id, peer_id, offset, num_bytes):
        secret = self.source.spend(round_num, client_id, peer_id, offset, num_bytes)
        self.pads.setdefault((round_num, client_id, peer_id), []).append(secret.reveal())
        return secret


class OnePadForever:
    """What must never be: the same pad in every round."""

    def __init__(self, pad: bytes):
        self.pad = pad

    def reserve(self, *args):
        pass

    burn = reserve

    def spend(self, round_num, client_id, peer_id, offset, num_bytes):
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


def asked_up_to_upload(ids, keys, updates, round_num=1, states=None):
    """Handlers and states of clients that are READY."""
    handlers, states = handlers_of(updates, keys), states or fresh(ids)
    num_words = len(updates[ids[0]])
    payload = {"round_num": round_num, "num_words": num_words, "word_bits": 16}
    for action, extra in (("reserve", {"cohort": list(ids)}), ("ready", {})):
        for i in ids:
            outcome, states[i] = handlers[i](action, {**payload, **extra}, states[i])
            assert isinstance(outcome, Reply)
    return handlers, states


def upload(members, num_words=13, round_num=1, offset=0):
    request = {"round_num": round_num, "offset": offset, "num_words": num_words}
    return {**request, "members": list(members)}
