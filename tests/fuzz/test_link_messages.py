"""What a server makes of the messages between two sites about their link: with garbage the link
stays shut, or as it was; without, it opens again, and no byte of key is given out twice."""

import os
import uuid
from contextlib import contextmanager, suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedket.errors import FedketError
from fedket.keys.etsi014.answers import DeliveredKey
from fedket.keys.etsi014.client import Kme
from fedket.keys.etsi014.errors import KmeRefusedError
from fedket.keys.etsi014.models import Status
from fedket.keys.link import Link
from fedket.keys.material import KeyMaterial
from fedket.keys.store import PadStore, StoreKeySource
from tests.fuzz.garbage import Garbage, refused

SEEDS = st.integers(0, 2**63 - 1)
ROUND_BYTES = 64
STATUS = Status(
    source_KME_ID="kme-a",
    target_KME_ID="kme-b",
    master_SAE_ID="0",
    slave_SAE_ID="1",
    key_size=256,
    stored_key_count=1000,
    max_key_count=1000,
    max_key_per_request=8,
    max_key_size=1024,
    min_key_size=64,
    max_SAE_ID_count=0,
)


class Ends:
    """Two sites, their key managers, and a server between them that bends what it carries."""

    def __init__(self, folder, garbage):
        self.garbage, self.share, self.waiting, self.rounds = garbage, 0.0, {}, 0
        kme = Kme(lambda _: STATUS, self.enc_keys, self.dec_keys)
        self.stores = [PadStore.open(folder / str(end), end) for end in (0, 1)]
        self.links = [
            Link(me, 1 - me, self.stores[me], kme, str(1 - me), self.carry(1 - me)) for me in (0, 1)
        ]
        self.seen = [("connect", {"content": b"{}"})]

    def enc_keys(self, peer, number, size_bits):
        made = {str(uuid.uuid4()): KeyMaterial(os.urandom(size_bits // 8)) for _ in range(number)}
        self.waiting |= made
        return tuple(DeliveredKey(*key) for key in made.items())

    def dec_keys(self, peer, key_ids, size_bits):
        if not self.waiting.keys() >= set(key_ids):
            raise KmeRefusedError("one or more keys specified are not found on KME")
        return tuple(DeliveredKey(key_id, self.waiting.pop(key_id)) for key_id in key_ids)

    def bent(self, message):
        if self.garbage.random() > self.share:
            return message
        bent = self.garbage.bent(self.garbage.choice((message, self.garbage.choice(self.seen)[1])))
        fields = bent if isinstance(bent, dict) else {}
        return {name: value for name, value in fields.items() if isinstance(value, bytes)}

    def carry(self, to):
        def say(action, message):
            self.seen.append((action, message))
            for _ in range(self.garbage.randrange(3) if self.share else 0):
                forged = self.garbage.choice((action, *(old for old, _ in self.seen), "gossip"))
                with refused():
                    self.links[to].answer(forged, self.bent(message))
            return self.bent(self.links[to].answer(action, self.bent(message)))

        return say

    def spend(self, sender):
        """What both ends are given for a round."""
        stream, self.rounds = (sender, 1 - sender), self.rounds + 1
        run = f"run {self.rounds}"
        ours, theirs = (StoreKeySource({end: self.stores[end]}, run) for end in stream)
        start = ours.reserve(1, sender, {stream: ROUND_BYTES})[stream]
        theirs.accept(1, 1 - sender, {stream: (start, ROUND_BYTES)})
        return [
            keys.spend(1, end, stream, 0, ROUND_BYTES).reveal()
            for keys, end in zip((ours, theirs), stream, strict=True)
        ]


@contextmanager
def two_ends(folder, seed):
    ends = Ends(folder, Garbage(seed))
    try:
        yield ends
    finally:
        for store in ends.stores:
            store.close()


@settings(max_examples=2)
@given(seed=SEEDS)
def test_garbage_between_the_ends_of_a_link(tmp_path_factory, seed):
    with two_ends(tmp_path_factory.mktemp("ends"), seed) as ends:
        given_out = []
        for share in (0.0, 0.3, 0.7, 0.0):
            ends.share = share
            for _ in range(2):
                with refused():
                    ends.links[0].confirm()
                for sender in (0, 1):
                    with refused():
                        ends.links[sender].fill(ROUND_BYTES)
                    with suppress(FedketError):
                        ours, theirs = ends.spend(sender)
                        assert ours == theirs
                        given_out.append(ours)
        assert len(set(given_out)) == len(given_out)
        ends.links[0].check_confirmed()
        ends.links[1].check_confirmed()
        for sender in (0, 1):
            ends.links[sender].fill(ROUND_BYTES)
            ours, theirs = ends.spend(sender)
            assert ours == theirs
            assert ours not in given_out


@pytest.mark.parametrize("action", ["connect", "connected", "agree", "gossip"])
@settings(max_examples=2)
@given(seed=SEEDS)
def test_a_message_out_of_nowhere(tmp_path_factory, action, seed):
    with two_ends(tmp_path_factory.mktemp("ends"), seed) as ends:
        said = ends.garbage.value()
        content = said if isinstance(said, bytes) else repr(said).encode("utf-8", "replace")
        with refused():
            ends.links[1].answer(action, {"content": content, "tag": ends.garbage.randbytes(32)})
        ends.links[0].confirm()
        ends.links[0].fill(ROUND_BYTES)
        ours, theirs = ends.spend(0)
        assert ours == theirs
