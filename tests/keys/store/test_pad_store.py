"""What a pad store does with one key after the other, whatever it is asked."""

import copy
import os
import pickle
import shutil
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from pad_store_parts import BACK, THERE, abandon, exchange, filled, key, pair
from replay import check_ledger

from fedket.errors import KeyExhaustedError, KeyMaterialError, KeyReusedError
from fedket.keys.store import KeyPurpose, Mode, PadStore, connect, read_status
from fedket.keys.store.connect import agreed_end
from fedket.keys.store.disk import no_crash
from fedket.keys.store.ledger import piece_name
from fedket.keys.store.streams import Deposited
from fedket.types import SERVER

small = st.integers(0, 40)
pieces = st.lists(st.tuples(st.integers(-1, 30), st.integers(0, 9)), max_size=6)


class Crashed(BaseException):
    """The process ended here."""


class OneStore(RuleBasedStateMachine):
    """Client 0's store: it sends on THERE and receives on BACK."""

    @initialize()
    def begin(self):
        self.place = tempfile.TemporaryDirectory()
        self.handed_out, self.keys, self.round_num, self.steps_left = set(), 0, 0, None
        self.latest = {THERE: (0, 0), BACK: (0, 0)}
        self.store = self.reopen()
        for stream in (THERE, BACK):
            self.deposit(stream, 100_000)

    def reopen(self):
        return PadStore.open(Path(self.place.name) / "s", 0, crash_point=self.crash_point)

    def crash_point(self, _name):
        if self.steps_left is not None:
            self.steps_left -= 1
            if self.steps_left < 0:
                raise Crashed

    def attempt(self, action):
        """Do something that may be refused, or be cut short by a crash."""
        try:
            return action()
        except KeyMaterialError:
            return None
        except Crashed:
            self.steps_left = None
            abandon(self.store)
            self.store = self.reopen()
            return None

    @rule(steps=st.integers(0, 12))
    def crash_soon(self, steps):
        self.steps_left = steps

    @rule()
    def end_and_reopen(self):
        self.steps_left = None
        self.store.close()
        self.store = self.reopen()

    @rule(stream=st.sampled_from([THERE, BACK]), length=st.sampled_from([30, 100_000]))
    def deposit(self, stream, length):
        self.keys += 1
        name = f"key {self.keys}"
        self.attempt(lambda: self.store.deposit(stream, name, key(name, length)))

    @rule(
        length=small, pieces=pieces, purpose=st.sampled_from(KeyPurpose), next_round=st.booleans()
    )
    def send(self, length, pieces, purpose, next_round):
        self.round_num += next_round
        before = self.store.high_water_marks().get(THERE, 0)
        offsets = self.attempt(
            lambda: self.store.reserve({THERE: length}, purpose, "r", self.round_num)
        )
        if offsets is not None:
            assert offsets == {THERE: before}
            self.latest[THERE] = (before, self.round_num)
        self.take(THERE, pieces)

    @rule(ahead=st.integers(-2, 9), length=small, pieces=pieces, next_round=st.booleans())
    def receive(self, ahead, length, pieces, next_round):
        self.round_num += next_round
        start = self.store.high_water_marks().get(BACK, 0) + ahead
        ranges = {BACK: (start, length)}
        self.attempt(lambda: self.store.accept(ranges, KeyPurpose.PAD, "r", self.round_num))
        self.latest[BACK] = (start, self.round_num)
        self.take(BACK, pieces)

    @rule(stream=st.sampled_from([THERE, BACK]), pieces=pieces)
    def take(self, stream, pieces):
        """Take pieces (start, length), counted from the latest reservation."""
        first, round_num = self.latest[stream]
        for start, length in pieces:
            taken = self.attempt(
                partial(
                    self.store.take, stream, first + start, length, run="r", round_num=round_num
                )
            )
            if taken is not None:
                piece = {(stream, byte) for byte in range(first + start, first + start + length)}
                assert len(taken) == length
                assert not piece & self.handed_out
                self.handed_out |= piece

    @rule()
    def burn(self):
        self.attempt(lambda: self.store.burn([THERE, BACK], "r", self.round_num))

    @rule(stream=st.sampled_from([THERE, BACK]), ahead=st.integers(-20, 20))
    def advance(self, stream, ahead):
        mark = max(self.store.high_water_marks().get(stream, 0) + ahead, 0)
        self.attempt(lambda: self.store.advance({stream: mark}))

    @rule(stream=st.sampled_from([THERE, BACK]), back=st.integers(0, 50))
    def withdraw(self, stream, back):
        end = max(self.store.end(stream) - back, 0)
        self.attempt(lambda: self.store.withdraw({stream: end}))

    @invariant()
    def the_ledger_holds_and_every_byte_is_in_one_state(self):
        if not hasattr(self, "store"):
            return
        check_ledger(self.store.directory)
        for s in read_status(self.store.directory).streams:
            assert s.available + s.reserved + s.consumed + s.burned == s.deposited
            handed_out = sum(stream == (s.sender, s.receiver) for stream, _ in self.handed_out)
            assert s.consumed <= handed_out

    def teardown(self):
        if hasattr(self, "store"):
            self.steps_left = None
            self.store.close()
            self.place.cleanup()


TestOneStore = OneStore.TestCase
TestOneStore.settings = settings(max_examples=12, stateful_step_count=30)


def test_both_ends_get_the_key_that_was_deposited(tmp_path):
    whole = key(f"first of {THERE}", 200_000).reveal()
    sender, receiver = pair(tmp_path, num_bytes=200_000)
    with sender, receiver:
        for round_num, length in enumerate([1, 70_000, 129_999]):
            start = exchange(sender, receiver, length, round_num)
            for store in (sender, receiver):
                cut = start + length // 3
                pieces = [(start, cut), (cut, start + length)]
                taken = b"".join(
                    store.take(THERE, a, b - a, run="r", round_num=round_num).reveal()
                    for a, b in pieces
                    if a < b
                )
                assert taken == whole[start : start + length]


def test_keys_deposited_one_after_the_other_make_one_stream(tmp_path):
    with PadStore.open(tmp_path, 0) as store:
        sizes = [1, 70_000, 31, 65_536, 9]
        starts = [store.deposit(THERE, f"k{i}", key(f"k{i}", n)) for i, n in enumerate(sizes)]
        assert starts == [sum(sizes[:i]) for i in range(len(sizes))]
        store.reserve({THERE: sum(sizes)}, KeyPurpose.PAD, "r", 1)
        taken = store.take(THERE, 0, sum(sizes), run="r", round_num=1).reveal()
    assert taken == b"".join(key(f"k{i}", n).reveal() for i, n in enumerate(sizes))


def test_a_round_is_reserved_for_many_links_or_for_none(tmp_path):
    streams = [(0, peer) for peer in (SERVER, 1, 2)]
    with filled(tmp_path, 0, 100, streams) as store:
        with pytest.raises(KeyExhaustedError, match="100 bytes of key left, 101"):
            store.reserve({(0, SERVER): 5, (0, 1): 5, (0, 2): 101}, KeyPurpose.PAD, "r", 1)
        assert store.high_water_marks() == dict.fromkeys(streams, 0)
        assert store.reserve(dict.fromkeys(streams, 60), KeyPurpose.PAD, "r", 1) == dict.fromkeys(
            streams, 0
        )
        assert store.high_water_marks() == dict.fromkeys(streams, 60)


def test_a_new_round_burns_what_the_old_one_left(tmp_path):
    with filled(tmp_path, 0) as store:
        store.reserve({THERE: 100}, KeyPurpose.PAD, "r", 1)
        store.take(THERE, 10, 30, run="r", round_num=1)
        store.reserve({THERE: 100}, KeyPurpose.PAD, "r", 2)
        with pytest.raises(KeyReusedError, match="used once"):
            store.take(THERE, 40, 1, run="r", round_num=1)
    stream = read_status(tmp_path).streams[0]
    assert (stream.consumed, stream.burned) == (30, 170)


def test_pads_and_macs_of_a_round_lie_side_by_side(tmp_path):
    with filled(tmp_path, 0) as store:
        store.reserve({THERE: 100}, KeyPurpose.PAD, "r", 1)
        mac = store.reserve({THERE: 32}, KeyPurpose.MAC, "r", 1)[THERE]
        assert mac == 100
        store.take(THERE, mac, 32, run="r", round_num=1)
        store.take(THERE, 0, 100, run="r", round_num=1)
        with pytest.raises(KeyReusedError, match="only go up"):
            store.reserve({THERE: 32}, KeyPurpose.MAC, "r", 1)


def test_a_restart_burns_reservations_and_remembers_rounds(tmp_path):
    store = filled(tmp_path, 0)
    store.reserve({THERE: 100}, KeyPurpose.PAD, "r", 7)
    store.take(THERE, 0, 50, run="r", round_num=7)
    abandon(store)
    with PadStore.open(tmp_path, 0) as store:
        with pytest.raises(KeyReusedError, match="used once"):
            store.take(THERE, 50, 1, run="r", round_num=7)
        with pytest.raises(KeyReusedError, match="only go up"):
            store.reserve({THERE: 100}, KeyPurpose.PAD, "r", 7)
        assert store.reserve({THERE: 100}, KeyPurpose.PAD, "r/2", 7) == {THERE: 100}
    assert read_status(tmp_path).streams[0].burned == 200


def test_a_receiver_follows_forwards_only(tmp_path):
    with filled(tmp_path, 1) as store:
        store.accept({THERE: (50, 100)}, KeyPurpose.PAD, "r", 1)
        with pytest.raises(KeyReusedError, match=r"used up to byte 150, offered from byte 149"):
            store.accept({THERE: (149, 10)}, KeyPurpose.PAD, "r", 2)
        with pytest.raises(KeyExhaustedError, match=r"ends at byte 1000, offered up to byte 1001"):
            store.accept({THERE: (991, 10)}, KeyPurpose.PAD, "r", 2)
        with pytest.raises(KeyMaterialError, match="not reserved"):
            store.take(THERE, 990, 1, run="r", round_num=2)
        assert store.available(THERE) == 850
    assert read_status(tmp_path).streams[0].burned == 150


def test_a_key_is_deposited_once_on_whatever_link(tmp_path):
    with filled(tmp_path, 0) as store:
        for stream in (THERE, BACK, (0, 2)):
            with pytest.raises(KeyReusedError, match="already deposited"):
                store.deposit(stream, f"first of {THERE}", key("again", 5))
        assert store.available(THERE) == 1000
        with pytest.raises(KeyMaterialError, match="is empty"):
            store.deposit(THERE, "empty", key("", 0))


def test_a_key_goes_where_it_was_agreed_to_go_or_nowhere(tmp_path):
    with filled(tmp_path, 0) as store:
        for start in (0, 999, 1001):
            with pytest.raises(KeyMaterialError, match="which now ends at byte 1000"):
                store.deposit(THERE, "next", key("next", 5), start)
        assert store.end(THERE) == 1000
        assert store.deposit(THERE, "next", key("next", 5), 1000) == 1000


def test_an_old_copy_of_a_store_never_leads_to_reuse(tmp_path):
    used = []
    for life in range(6):
        sender, receiver = [PadStore.open(tmp_path / str(i), i) for i in (0, 1)]
        with sender, receiver:
            connect([sender, receiver])
            for store in (sender, receiver):
                store.deposit(THERE, f"life {life}", key(f"life {life}", 500))
            start = exchange(sender, receiver, 100, 1, run=f"life {life}")
            pads = {s.take(THERE, start, 100, run=f"life {life}", round_num=1).reveal()
                    for s in (sender, receiver)}  # fmt: skip
            assert len(pads) == 1
            used += pads
        if life == 1:
            shutil.copytree(tmp_path / "0", tmp_path / "old 0")
            shutil.copytree(tmp_path / "1", tmp_path / "old 1")
        if life in (3, 4):
            owner = life - 3
            shutil.rmtree(tmp_path / str(owner))
            shutil.copytree(tmp_path / f"old {owner}", tmp_path / str(owner))
    assert len(set(used)) == 6


def test_without_connecting_the_receiver_refuses_what_an_old_copy_offers(tmp_path):
    sender, receiver = pair(tmp_path)
    sender.close()
    shutil.copytree(tmp_path / "0", tmp_path / "old")
    with PadStore.open(tmp_path / "0", 0) as sender:
        exchange(sender, receiver, 100, 1)
    refused = pytest.raises(KeyReusedError, match="may be an old copy")
    with PadStore.open(tmp_path / "old", 0) as old, receiver, refused:
        exchange(old, receiver, 100, 1, run="r2")


def test_connected_ends_agree_on_marks_and_on_where_the_next_key_goes(tmp_path):
    sender, receiver = pair(tmp_path)
    with sender, receiver:
        exchange(sender, receiver, 100, 1)
        sender.reserve({THERE: 300}, KeyPurpose.PAD, "r", 2)
        sender.deposit(THERE, "only here", key("only here", 70_000))
        receiver.deposit(BACK, "only there", key("only there", 10))
        connect([sender, receiver])
        assert sender.high_water_marks() == receiver.high_water_marks() == {THERE: 400, BACK: 0}
        assert {store.end(stream) for store in (sender, receiver) for stream in (THERE, BACK)} == {
            1000
        }
        for store in (sender, receiver):
            store.deposit(THERE, "next", key("next", 10))
            assert store.available(THERE) == 610
        start = exchange(sender, receiver, 610, 3)
        expected = key(f"first of {THERE}", 1000).reveal()[400:] + key("next", 10).reveal()
        for store in (sender, receiver):
            assert store.take(THERE, start, 610, run="r", round_num=3).reveal() == expected


def test_an_old_copy_with_another_key_at_the_same_place_gives_it_up(tmp_path):
    """A key came to one end only, was withdrawn, and its place given to another key."""
    sender, receiver = pair(tmp_path)
    with sender:
        sender.deposit(THERE, "only here", key("only here", 500))
    shutil.copytree(tmp_path / "0", tmp_path / "copy")
    with PadStore.open(tmp_path / "0", 0) as sender, receiver:
        connect([sender, receiver])
        for store in (sender, receiver):
            store.deposit(THERE, "both", key("both", 500))
        exchange(sender, receiver, 1100, 1)
    with (
        PadStore.open(tmp_path / "copy", 0) as sender,
        PadStore.open(tmp_path / "1", 1) as receiver,
    ):
        connect([sender, receiver])
        assert sender.end(THERE) == receiver.end(THERE) == 1100
        for store in (sender, receiver):
            store.deposit(THERE, "later", key("later", 50))
        start = exchange(sender, receiver, 50, 1, run="r2")
        for store in (sender, receiver):
            taken = store.take(THERE, start, 50, run="r2", round_num=1)
            assert taken == key("later", 50)


HELD = (Deposited(0, 10, "a"), Deposited(10, 30, "b"), Deposited(30, 40, "c"))


@pytest.mark.parametrize(
    ("mark", "theirs", "end"),
    [
        (0, HELD, 40),
        (12, HELD[1:], 40),
        (0, (), 0),
        (40, HELD, 40),
        (0, (HELD[0], Deposited(10, 30, "x")), 10),
        (0, (HELD[0], Deposited(10, 25, "b")), 25),
        (20, (Deposited(11, 31, "b"),), 20),
        (5, (HELD[0], HELD[2]), 10),
    ],
)
def test_ends_agree_as_far_as_the_same_keys_lie_at_the_same_places(mark, theirs, end):
    assert agreed_end(mark, HELD, theirs) == agreed_end(mark, theirs, HELD) == end


def test_marks_beyond_the_key_that_came_count_it_as_lost(tmp_path):
    with filled(tmp_path, 0) as store:
        assert store.advance({THERE: 5000, BACK: 0, (0, 9): 10}) == {THERE: 5000, (0, 9): 10}
        assert store.advance({THERE: 4999, BACK: 1}) == {BACK: 1}
        assert store.available(THERE) == 0
        assert store.deposit(THERE, "next", key("next", 10)) == 5000
        assert store.reserve({THERE: 10}, KeyPurpose.PAD, "r", 1) == {THERE: 5000}
        taken = store.take(THERE, 5000, 10, run="r", round_num=1)
        assert taken == key("next", 10)
    check_ledger(tmp_path)


@pytest.mark.parametrize("mark", [1 << 62, (1 << 40) + 1001])
def test_a_mark_that_no_use_leads_to_does_not_end_a_stream_for_ever(tmp_path, mark):
    with filled(tmp_path, 0) as store:
        with pytest.raises(KeyMaterialError, match="beyond the key that has come"):
            store.advance({THERE: mark})
        start = store.reserve({THERE: 10}, KeyPurpose.PAD, "r", 1)[THERE]
        assert len(store.take(THERE, start, 10, run="r", round_num=1)) == 10
        store.advance({THERE: (1 << 40) + 1000})
        assert store.deposit(THERE, "next", key("next", 10)) == (1 << 40) + 1000


@pytest.mark.parametrize("stream", [THERE, BACK, (0, 2), (SERVER, 0)])
def test_a_key_comes_to_a_store_once_under_whatever_company(tmp_path, stream):
    def deposit(*keys):
        store.deposit(stream, piece_name(keys), key("more", 20), keys=keys)

    with PadStore.open(tmp_path, 0) as store:
        store.deposit(THERE, piece_name("ab"), key("ab", 20), keys="ab")
    with PadStore.open(tmp_path, 0) as store:
        for keys in ("bc", "b", "cc"):
            with pytest.raises(KeyReusedError, match="already deposited"):
                deposit(*keys)
        with pytest.raises(KeyReusedError, match="already deposited"):
            store.deposit(stream, "a", key("a", 20))
        deposit("c")
    check_ledger(tmp_path)


@pytest.mark.parametrize(
    ("act", "said"),
    [
        (lambda s: s.reserve({BACK: 1}, KeyPurpose.PAD, "r", 1), "sender allocates it"),
        (lambda s: s.reserve({(1, 2): 1}, KeyPurpose.PAD, "r", 1), "has no stream"),
        (lambda s: s.reserve({(0, 0): 1}, KeyPurpose.PAD, "r", 1), "has no stream"),
        (lambda s: s.reserve({(0, -2): 1}, KeyPurpose.PAD, "r", 1), "has no stream"),
        (lambda s: s.reserve({THERE: -1}, KeyPurpose.PAD, "r", 1), "a length is from 0"),
        (lambda s: s.reserve({THERE: 1}, KeyPurpose.PAD, "", 1), "printable"),
        (lambda s: s.reserve({THERE: 1}, KeyPurpose.PAD, "a\nb", 1), "printable"),
        (lambda s: s.reserve({THERE: 1}, KeyPurpose.PAD, "r", -1), "round number"),
        (lambda s: s.accept({THERE: (0, 1)}, KeyPurpose.PAD, "r", 1), "reserve instead"),
        (lambda s: s.accept({BACK: (-1, 1)}, KeyPurpose.PAD, "r", 1), "an offset is from 0"),
        (lambda s: s.take(THERE, 0, 0, run="r", round_num=1), "1 or more"),
        (lambda s: s.take(THERE, 0, 1, run="r", round_num=1), "reserve first"),
        (lambda s: s.advance({THERE: 1 << 63}), "a mark is from 0"),
        (lambda s: s.deposit(THERE, "", key("k", 1)), "printable"),
    ],
)
def test_disorder_is_refused_and_changes_nothing(tmp_path, act, said):
    with filled(tmp_path, 0) as store:
        with pytest.raises(KeyMaterialError, match=said):
            act(store)
        assert store.high_water_marks() == {THERE: 0, BACK: 0}
        assert store.available(THERE) == 1000


def test_one_process_per_store(tmp_path):
    code = (
        "import sys; from pathlib import Path; from fedket.keys.store import PadStore\n"
        "PadStore.open(Path(sys.argv[1]), 0)"
    )
    with filled(tmp_path, 0) as store:
        again = subprocess.run(
            [sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=False
        )
        assert "is already open (process" in again.stderr.splitlines()[-1]
        with pytest.raises(KeyMaterialError, match="already open"):
            PadStore.open(tmp_path, 0)
        assert store.available(THERE) == 1000
    PadStore.open(tmp_path, 0).close()


def test_a_store_is_one_partys_and_closed_when_closed(tmp_path):
    store = filled(tmp_path, 0)
    store.close()
    store.close()
    with pytest.raises(KeyMaterialError, match=r"closed.*open it again"):
        store.available(THERE)
    with pytest.raises(KeyMaterialError, match="party 0's, not party 1's"):
        PadStore.open(tmp_path, 1)


def test_a_store_is_not_carried_over_a_fork(tmp_path, monkeypatch):
    with filled(tmp_path, 0) as store:
        parent = os.getpid()
        monkeypatch.setattr(os, "getpid", lambda: parent + 1)
        with pytest.raises(KeyMaterialError, match=f"opened by process {parent}"):
            store.reserve({THERE: 1}, KeyPurpose.PAD, "r", 1)
        store.close()
        monkeypatch.undo()
        assert store.reserve({THERE: 1}, KeyPurpose.PAD, "r", 1) == {THERE: 0}


def test_key_bytes_do_not_show(tmp_path):
    secret = b"seven pads of secret silk".ljust(64, b"\xa5")
    with PadStore.open(tmp_path, 0, crash_point=no_crash) as store:
        store.deposit(THERE, "k", type(key("k", 1))(secret))
        store.reserve({THERE: 64}, KeyPurpose.PAD, "r", 1, Mode.COMPUTATIONAL)
        shown = [repr(store), repr(vars(store._session)), repr(vars(store._session.files))]
        store.take(THERE, 0, 64, run="r", round_num=1)
        with pytest.raises(KeyReusedError) as error:
            store.take(THERE, 0, 64, run="r", round_num=1)
        shown.append(repr(error.value))
        for duplicate in (copy.copy, copy.deepcopy, pickle.dumps):
            with pytest.raises((TypeError, KeyMaterialError)):
                duplicate(store)
    store_key = (tmp_path / "store.key").read_bytes()
    for text in shown:
        for hidden in (secret, store_key):
            disguises = (repr(hidden[:8])[2:-1], hidden[:8].hex(), str(list(hidden[:8])))
            assert not any(disguise in text for disguise in disguises)
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert secret[:12] not in path.read_bytes()
            assert path.stat().st_mode & 0o077 == 0
