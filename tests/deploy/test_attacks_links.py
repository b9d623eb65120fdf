"""Attacks on links: restored stores and key managers, a server that forges, a peer that lies."""

import shutil
from contextlib import contextmanager, suppress

import pytest
from key_parties import BACK, ROUND_BYTES, THERE, key_manager, parties

from fedket.errors import FedketError, KeyMaterialError
from fedket.keys.etsi014.answers import DeliveredKey
from fedket.keys.kme.pools import KeyPools
from fedket.keys.link import Statement, StreamEnd
from fedket.keys.material import KeyMaterial


@pytest.fixture(scope="module")
def saes(tmp_path_factory):
    with key_manager(tmp_path_factory.mktemp("trial")) as files:
        yield files


@contextmanager
def old_copy(saes, folder, old):
    """Parties that have used key, and a copy of one's store from before; the server's record."""
    with parties(saes, folder) as made:
        made.open[0].fill({THERE: ROUND_BYTES})
        made.open[1].fill({BACK: ROUND_BYTES})
        made.stop(old)
        shutil.copytree(folder / str(old), folder / "copy")
        made.start(old)
        recorded = []

        def record(party, peer, action, payload, deliver):
            recorded.append((party, peer, action, payload, deliver()))
            return recorded[-1][-1]

        made.server = record
        made.connect(old)
        given = {made.spend(stream)[0] for _ in range(3) for stream in (THERE, BACK)}
        made.restore(old, folder / "copy")
        yield made, given, recorded


@pytest.mark.parametrize("old", [0, 1])
@pytest.mark.parametrize("stream", [THERE, BACK])
def test_a_server_that_leaves_out_a_link_opens_no_pad_of_an_old_copy(saes, tmp_path, old, stream):
    with old_copy(saes, tmp_path, old) as (made, given, _):
        with pytest.raises(KeyMaterialError, match="has not been confirmed"):
            assert made.spend_alone(old, stream) not in given
        for sender in (old, 1 - old):  # whose fetching confirms the link
            made.open[sender].fill({(sender, 1 - sender): ROUND_BYTES})
        ours, theirs = made.spend(stream)
        assert ours == theirs
        assert ours not in given


@pytest.mark.parametrize("stream", [THERE, BACK])
@pytest.mark.parametrize("forged", ["old answers", "answers of its own", "its own words"])
def test_a_server_that_forges_marks_opens_no_pad_of_an_old_copy(saes, tmp_path, stream, forged):
    with old_copy(saes, tmp_path, 0) as (made, given, recorded):

        def lie(party, peer, action, payload, deliver):
            if forged == "its own words":
                return payload
            if forged == "answers of its own":
                return {"streams": b"[]", "message": b"[]", "tag": bytes(32)}
            answers = [r[-1] for r in recorded if r[:3] == (party, peer, action)]
            return answers[0]

        made.server = lie
        with pytest.raises(FedketError):
            made.open[0].links([1])
        with pytest.raises(KeyMaterialError, match="has not been confirmed"):
            assert made.spend_alone(0, stream) not in given


@pytest.mark.parametrize("stream", [THERE, BACK])
def test_a_server_that_repeats_old_marks_opens_no_pad_of_an_old_copy(saes, tmp_path, stream):
    with old_copy(saes, tmp_path, 1) as (made, given, recorded):
        for party, peer, action, payload, _ in recorded:
            if (party, peer) == (0, 1):
                with suppress(FedketError):
                    made.open[1].answer(0, action, payload)
        with pytest.raises(KeyMaterialError, match="has not been confirmed"):
            assert made.spend_alone(1, stream) not in given


def test_a_mark_that_no_use_leads_to_costs_a_malicious_peer_its_link_only(saes, tmp_path):
    with parties(saes, tmp_path) as made:
        made.open[0].fill({THERE: ROUND_BYTES})
        liar = made.open[1]._links[0]
        ends = tuple(StreamEnd(stream=s, mark=1 << 62, keys=()) for s in (THERE, BACK))
        told = Statement(party=1, nonce=32 * "0", ends=ends)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(liar, "_statement", lambda _: told)
            with pytest.raises(KeyMaterialError, match="beyond the key that has come"):
                made.open[0].links([1])
        made.connect(0)
        made.open[0].fill({THERE: ROUND_BYTES})
        ours, theirs = made.spend(THERE)
        assert ours == theirs


@pytest.mark.parametrize("restarted", [(0,), (1,), (0, 1)])
def test_a_key_manager_that_delivers_keys_again_gives_no_byte_twice(
    saes, tmp_path, monkeypatch, restarted
):
    made_before, backup, deliver = [], [], KeyPools.deliver

    def remembering(pools, master, slaves, number, size_bits):
        keys = deliver(pools, master, slaves, number, size_bits)
        if size_bits == 65536:
            made_before.extend(keys)
        if size_bits != 65536 or not backup:
            return keys
        return tuple(again(pools, new, backup.pop(0)) if backup else new for new in keys)

    def again(pools, new, old):
        pools._issued[old.key_id] = pools._issued.pop(new.key_id)
        pools._issued[old.key_id].secret = old.secret
        return old

    monkeypatch.setattr(KeyPools, "deliver", remembering)
    with parties(saes, tmp_path) as made:
        made.open[0].fill({THERE: 1536})
        given = [made.spend(THERE, 1536)[0] for _ in range(16)]
        for party in restarted:
            made.stop(party)
            made.start(party)
        made.connect(*restarted)
        backup += made_before[1:]
        for _ in range(4):
            with suppress(KeyMaterialError):
                made.open[0].fill({THERE: 1536})
        ours = [made.spend(THERE, 1536)[0] for _ in range(8)]
        pieces = [pad[i : i + 32] for pad in given + ours for i in range(0, 1536, 32)]
        assert len(set(pieces)) == len(pieces)


def test_a_link_is_not_confirmed_under_a_key_that_can_be_guessed(saes, tmp_path, monkeypatch):
    short = (DeliveredKey("00000000-0000-0000-0000-000000000000", KeyMaterial(bytes(8))),)
    with parties(saes, tmp_path) as made:
        monkeypatch.setattr("fedket.keys.link.fetch_new", lambda *_: short)
        with pytest.raises(KeyMaterialError, match="16 bytes of key or more"):
            made.open[0].links([1])
