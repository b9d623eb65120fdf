"""KMEs of one short key per call: many calls at a time, and the same bytes at both ends."""

import threading

import pytest
from lossy_link import STREAM, LossyLink, status

from fedket.keys.etsi014 import fetch
from fedket.keys.etsi014.client import Kme
from fedket.keys.etsi014.errors import KmeBusyError, KmeRefusedError
from fedket.keys.etsi014.fetch import SlaveEnd
from fedket.keys.etsi014.pipeline import collect, gather, in_parallel
from fedket.keys.etsi014.sizing import Request

CONNECTIONS = 4


class OneKeyLink(LossyLink):
    """KMEs of one key per call; `forgets` those that throw unfetched keys away."""

    def __init__(self, forgets=False):
        super().__init__()
        self.asked, self.forgets = 0, forgets
        self.lock = threading.Lock()
        self.kme = Kme(self.status, self.one_key, self.named, CONNECTIONS)
        self.slave = SlaveEnd(STREAM, self.kme, "alice", self.stores["slave"])
        self.master = self.new_master()

    def check_prefix(self):
        master, slave = self.stores["master"].held, self.stores["slave"].held
        assert master == slave[: len(master)]

    def status(self, peer):
        self.asked += 1
        return status(max_key_per_request=1)

    def one_key(self, peer, number, size_bits):
        assert number == 1
        with self.lock:
            if self.forgets:
                self.waiting.clear()
            return self.enc_keys(peer, number, size_bits)

    def named(self, peer, key_ids, size_bits):
        assert len(key_ids) == 1
        with self.lock:
            return self.dec_keys(peer, key_ids, size_bits)


def test_batches_of_many_calls_give_both_ends_the_same_and_one_status_is_enough(monkeypatch):
    monkeypatch.setattr(fetch, "BATCH_CALLS", 32)
    link = OneKeyLink()
    for _ in range(2):
        assert link.master.fetch(100 * 16) == 100 * 16
    assert link.stores["master"].held == link.stores["slave"].held
    assert [len(secret) // 16 for _, secret in link.stores["master"].held[:4]] == [32, 32, 32, 4]
    assert link.asked == 1
    assert link.made == 200


def test_from_a_kme_that_forgets_unfetched_keys_they_are_asked_for_one_by_one():
    link = OneKeyLink(forgets=True)
    assert link.master.fetch(20 * 16) == 20 * 16
    assert link.stores["master"].held == link.stores["slave"].held
    assert {len(secret) for _, secret in link.stores["master"].held} == {16}


def test_more_may_come_at_once_but_nobody_waits_for_it(monkeypatch):
    monkeypatch.setattr(fetch, "BATCH_CALLS", 32)
    link = OneKeyLink()
    assert link.master.fetch(16, 1000 * 16) == 32 * 16


def test_all_connections_are_used_and_order_stays():
    together = threading.Barrier(CONNECTIONS, timeout=5)

    def do(i):
        if i < CONNECTIONS:
            together.wait()
        return i * i

    assert in_parallel(do, range(20), CONNECTIONS) == [i * i for i in range(20)]


def test_what_came_before_a_failure_counts_and_nothing_is_asked_for_after_it():
    link = OneKeyLink()
    made = iter(range(100))

    def some(peer, number, size_bits):
        if next(made) >= 7:
            raise KmeBusyError("empty")
        return link.one_key(peer, number, size_bits)

    found = gather(Kme(link.status, some, link.named, 2), "bob", Request(1, 16), 50)
    assert len(found.keys) == 7
    assert isinstance(found.error, KmeBusyError)
    assert next(made) < 12
    with pytest.raises(KmeRefusedError):
        collect(lambda ids: link.named("alice", ids, 128), ["x", "y", "z"], 1, 2)
