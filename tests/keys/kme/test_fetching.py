"""Both ends fill a stream from real KMEs, also when these misbehave now and then."""

from itertools import product

import pytest
from kme_network import QUICK_S, serve

from fedket.keys.etsi014.agreement import Announce, Confirm, read_message
from fedket.keys.etsi014.errors import (
    AgreementError,
    KmeAnswerError,
    KmeBusyError,
    KmeUnreachableError,
)
from fedket.keys.etsi014.fetch import MasterEnd, SlaveEnd
from fedket.keys.store import PadStore

STREAM = (2, -1)
CALLS = ("enc_keys", "dec_keys")


class Deposits(list):
    """A pretended pad store."""

    def end(self, stream) -> int:
        assert stream == STREAM
        return sum(len(secret) for _, secret in self)

    def deposit(self, stream, key_id, secret, start=None, keys=()) -> None:
        assert start == self.end(stream)
        self.append((key_id, secret.reveal()))


class Ends:
    """A master and a slave with their deposits."""

    def __init__(self, master, slave, pauses=(), sleep=lambda _: None) -> None:
        self.deposits = (Deposits(), Deposits())
        self.slave = SlaveEnd(STREAM, slave, "alice", self.deposits[1], pauses, sleep)
        self.master = MasterEnd(
            STREAM, master, "bob", self.exchange, self.deposits[0], pauses, sleep
        )

    def exchange(self, message):
        reply = self.slave.answer(read_message(Announce, message.model_dump_json()))
        return read_message(Confirm, reply.model_dump_json())

    def agreed(self) -> bytes:
        assert self.deposits[0] == self.deposits[1]
        return b"".join(secret for _, secret in self.deposits[0])


@pytest.fixture
def kmes(world):
    with world.client("alice") as master, world.client("bob") as slave:
        yield master, slave


def test_a_stream_is_filled_in_batches_up_to_the_limits(kmes):
    ends = Ends(*kmes)
    fetched = ends.master.fetch(3000)
    assert fetched == 3072
    assert len(ends.agreed()) == 3072
    assert [len(secret) for _, secret in ends.deposits[0]] == [2048, 1024]
    assert ends.master.fetch(1) == 8
    assert ends.master.fetch(0) == 0


def test_a_short_pool_is_emptied_in_smaller_pieces(pki):
    pauses = []
    with (
        serve(pki, initial_keys=5) as world,
        world.client("alice") as alice,
        world.client("bob") as bob,
    ):
        ends = Ends(alice, bob, [0.5] * 20, pauses.append)
        assert ends.master.fetch(5 * 32) == 5 * 32
        assert pauses
        with pytest.raises(KmeBusyError, match="ask again later"):
            ends.master.fetch(8)
        assert len(ends.agreed()) == 5 * 32


def test_a_kme_that_comes_back_costs_pauses_only(world, kmes):
    def sleep(_: float) -> None:
        world.inject()

    for fault, calls in [
        ("unavailable", ("status",)),
        ("unavailable", ("enc_keys",)),
        ("unavailable", ("dec_keys",)),
        ("drop_reply", ("enc_keys",)),
        ("drop_reply", ("dec_keys",)),
    ]:
        ends = Ends(*kmes, [0.1] * 3, sleep)
        world.inject(fault, calls=calls)
        assert ends.master.fetch(200) >= 200
        assert len(ends.agreed()) >= 200


@pytest.mark.parametrize(
    ("fault", "call"),
    [
        ("fewer_keys", "dec_keys"),
        *product(["short_keys", "duplicate_keys", "bad_base64", "html", "html_401"], CALLS),
    ],
)
def test_a_bad_batch_is_deposited_at_neither_end(world, kmes, call, fault):
    ends = Ends(*kmes)
    ends.master.fetch(500)
    before = ends.agreed()
    world.inject(fault, calls=(call,))
    with pytest.raises(
        (KmeAnswerError, AgreementError) if "401" not in fault else Exception
    ) as error:
        ends.master.fetch(500)
    assert "\n" not in str(error.value)
    assert ends.agreed() == before
    world.inject()
    ends.master.fetch(500)
    assert len(ends.agreed()) >= len(before) + 500


def test_the_other_ends_trouble_is_told_here(world, kmes):
    world.inject("html", calls=("dec_keys",))
    with pytest.raises(AgreementError, match=r"bob got none of the 4 keys: KME .* text/html"):
        Ends(*kmes).master.fetch(500)


def test_a_batch_that_the_kme_forgot_is_not_missed(world, kmes):
    world.inject("forget_unfetched")
    ends = Ends(*kmes)
    assert len(ends.agreed()) == 0
    assert ends.master.fetch(3000) == len(ends.agreed())


def test_two_pad_stores_are_filled_alike(kmes, tmp_path):
    sender, receiver = STREAM
    with (
        PadStore.open(tmp_path / "sender", sender) as ours,
        PadStore.open(tmp_path / "receiver", receiver) as theirs,
    ):
        slave = SlaveEnd(STREAM, kmes[1], "alice", theirs)
        MasterEnd(STREAM, kmes[0], "bob", slave.answer, ours).fetch(2000)
        assert ours.end(STREAM) == theirs.end(STREAM) == 2048


def test_a_kme_that_hangs_does_not_hang_us(world):
    world.inject("hang", calls=("enc_keys",))
    with world.client("alice", timeout_s=QUICK_S) as alice, world.client("bob") as bob:
        ends = Ends(alice, bob)
        with pytest.raises(KmeUnreachableError, match=f"within {QUICK_S:g} s"):
            ends.master.fetch(100)
        assert ends.agreed() == b""
