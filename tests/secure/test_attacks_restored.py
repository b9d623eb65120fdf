"""A client's pad store is replaced by an old copy, and the server makes the most of it."""

import os
import shutil
from contextlib import ExitStack
from itertools import permutations

from shared_parts import Session, a_plan, updates_of

from fedket.keys.material import KeyMaterial
from fedket.keys.store import PadStore, StoreKeySource, connect
from fedket.secure.phases import Reply


class Spending(StoreKeySource):
    """Notes what a client is given."""

    def spend(self, round_num, client_id, stream, start, num_bytes):
        secret = super().spend(round_num, client_id, stream, start, num_bytes)
        self.given = [*getattr(self, "given", []), (client_id, secret.reveal())]
        return secret


def test_a_restored_client_and_a_server_that_keeps_shares_to_itself_use_no_pad_twice(tmp_path):
    """The others never hear of the shares, so no mark of theirs could tell of pads used alone."""
    plan, ids = a_plan(1, 3, num_values=60), (0, 1, 2, 3)

    def deal(run):
        with ExitStack() as stack:
            stores = {i: stack.enter_context(PadStore.open(tmp_path / str(i), i)) for i in ids}
            for stream in permutations(ids, 2) if run == "first" else ():
                secret = KeyMaterial(os.urandom(4000))
                for end in stream:
                    stores[end].deposit(stream, str(stream), secret)
            connect(stores.values())
            source = Spending(stores, run)
            session = Session(plan, updates_of(8, ids, plan), source=source)
            assert isinstance(
                session.ask(1, "share", **session.up_to("share").payload_for(1)), Reply
            )
            return {pad for i, pad in source.given if i == 1 and len(pad) > 32}

    deal("first")
    shutil.copytree(tmp_path / "1", tmp_path / "copy")
    given = deal("second")
    shutil.rmtree(tmp_path / "1")
    shutil.move(tmp_path / "copy", tmp_path / "1")
    assert given
    assert given.isdisjoint(deal("third"))
