"""Parties with stores of their own: no byte twice, the same bytes at both ends, own links only."""

import shutil
from itertools import product

import pytest
from key_parties import BACK, ROUND_BYTES, SAES, STREAM_ENDS, THERE, key_manager, parties

from fedket.deploy import party_keys
from fedket.deploy.keyless import LinksWithoutKeyError
from fedket.deploy.party_keys import open_store_keys
from fedket.errors import FedketError, KeyMaterialError, ProtocolError
from fedket.keys.etsi014.agreement import Announce, read_message
from fedket.keys.etsi014.errors import AgreementError, KmeUnreachableError
from fedket.keys.link import Hello, Statement, StreamEnd, _tag
from fedket.keys.store import PadStore
from fedket.types import SERVER

NONSENSE = (
    b"",
    b"[",
    b"7",
    b"[7]",
    b"{}",
    b'{"party": 1, "nonce": "", "ends": []}',
    b'{"party": true, "nonce": "00000000000000000000000000000000", "ends": []}',
    b'{"party": 1, "nonce": "00000000000000000000000000000000", "ends": [[0, 1]]}',
    b"[" * 100_000,
    b"\xff",
)


@pytest.fixture(scope="module")
def saes(tmp_path_factory):
    with key_manager(tmp_path_factory.mktemp("trial")) as files:
        yield files


@pytest.mark.parametrize("stream", [THERE, BACK, (0, SERVER), (SERVER, 1)])
def test_a_fill_gives_both_ends_the_same_bytes_and_says_none_of_them(saes, tmp_path, stream):
    with parties(saes, tmp_path) as made:
        made.open[stream[0]].fill({stream: ROUND_BYTES})
        given = [made.spend(stream) for _ in range(16)]
        for ours, theirs in given:
            assert ours == theirs
            assert not any(repr(ours[:8])[2:-1] in repr(said) for said in made.said)
        assert len({ours for ours, _ in given}) == len(given)


@pytest.mark.parametrize(("large", "rounds"), [(1, 4), (1 << 22, 16)])
def test_key_of_large_rounds_is_fetched_for_fewer_of_them(
    saes, tmp_path, monkeypatch, large, rounds
):
    monkeypatch.setattr(party_keys, "LARGE_BYTES", large)
    with parties(saes, tmp_path) as made:
        assert made.open[0].fill({THERE: ROUND_BYTES}) == rounds


@pytest.mark.parametrize("old", [0, 1])
@pytest.mark.parametrize("asks", [0, 1])
def test_after_an_old_copy_of_one_end_no_byte_is_given_twice(saes, tmp_path, old, asks):
    with parties(saes, tmp_path) as made:
        made.open[0].fill({THERE: ROUND_BYTES})
        given = [made.spend(THERE)[0] for _ in range(2)]
        made.stop(old)
        shutil.copytree(tmp_path / str(old), tmp_path / "copy")
        made.start(old)
        made.connect(old)
        given += [made.spend(THERE)[0] for _ in range(3)]
        made.stop(old)
        shutil.rmtree(tmp_path / str(old))
        shutil.move(tmp_path / "copy", tmp_path / str(old))
        made.start(old)
        made.open[asks].links([1 - asks])
        made.open[0].fill({THERE: 20 * ROUND_BYTES})
        for _ in range(20):
            ours, theirs = made.spend(THERE)
            assert ours == theirs
            given.append(ours)
        assert len(set(given)) == len(given)


def test_an_end_that_lost_its_store_goes_on_where_the_other_one_is(saes, tmp_path):
    with parties(saes, tmp_path) as made:
        made.open[0].fill({THERE: ROUND_BYTES})
        given = {made.spend(THERE)[0]}
        made.stop(1)
        shutil.rmtree(tmp_path / "1")
        made.start(1)
        made.connect(1)
        made.open[0].fill({THERE: ROUND_BYTES})
        ours, theirs = made.spend(THERE)
        assert ours == theirs
        assert ours not in given


@pytest.mark.parametrize("restarted", STREAM_ENDS)
def test_a_restart_in_the_middle_of_an_agreement_is_put_right_by_the_next_fill(
    saes, tmp_path, restarted
):
    with parties(saes, tmp_path) as made:
        made.open[0].fill({THERE: ROUND_BYTES})
        given = {made.spend(THERE)[0]}
        made.lose_replies = True
        with pytest.raises(LinksWithoutKeyError):
            made.open[0].fill({THERE: 100 * ROUND_BYTES})
        made.lose_replies = False
        made.stop(restarted)
        made.start(restarted)
        made.connect(restarted)
        made.open[0].fill({THERE: 20 * ROUND_BYTES})
        for _ in range(20):
            ours, theirs = made.spend(THERE)
            assert ours == theirs
            given.add(ours)
        assert len(given) == 21


@pytest.mark.parametrize("damaged", STREAM_ENDS)
def test_a_link_with_damaged_pads_goes_on_after_a_reset_and_no_byte_comes_again(
    saes, tmp_path, damaged
):
    with parties(saes, tmp_path) as made:
        made.open[0].fill({THERE: ROUND_BYTES})
        given = {made.spend(THERE)[0]}
        made.stop(damaged)
        for pads in (tmp_path / f"{damaged}" / "segments").glob("*.pads"):
            pads.write_bytes(bytes(pads.stat().st_size))
        made.start(damaged)
        made.connect(damaged)
        peer = 1 - damaged
        says = rf"run `fedket keys reset {tmp_path / str(damaged)} {peer}`, start it again"
        with pytest.raises(KeyMaterialError, match=says):
            made.spend(THERE)
        made.stop(damaged)
        with PadStore.open(tmp_path / f"{damaged}", damaged) as store:
            assert store.reset(peer)[THERE] == 14 * ROUND_BYTES
        made.start(damaged)
        made.connect(damaged)
        made.open[0].fill({THERE: ROUND_BYTES})
        ours, theirs = made.spend(THERE)
        assert ours == theirs
        assert ours not in given


def test_links_of_others_stay_as_they_are(saes, tmp_path):
    with parties(saes, tmp_path) as made:
        made.open[0].fill({THERE: ROUND_BYTES, (0, SERVER): ROUND_BYTES})
        made.open[0].links([1])
        ours, theirs = made.spend((0, SERVER))
        assert ours == theirs


@pytest.mark.parametrize("asks", [0, 1])
@pytest.mark.parametrize("stream", [(0, SERVER), (1, SERVER), (SERVER, 0), (0, 0), (7, 8)])
def test_a_peer_that_speaks_about_another_link_is_refused(saes, tmp_path, stream, asks):
    with parties(saes, tmp_path) as made:
        made.open[0].fill({(0, SERVER): ROUND_BYTES})
        liar = made.open[1]._links[0]
        end = StreamEnd(stream=stream, mark=10**6, keys=())
        liar._statement = lambda _: Statement(party=1, nonce=32 * "0", ends=(end,))
        with pytest.raises(LinksWithoutKeyError, match="not its own"):
            made.open[asks].links([1 - asks])
        ours, theirs = made.spend((0, SERVER))
        assert ours == theirs


def test_a_statement_tells_a_peer_about_its_own_link_only(saes, tmp_path):
    with parties(saes, tmp_path) as made:
        made.open[0].fill({THERE: ROUND_BYTES, (0, SERVER): ROUND_BYTES})
        made.said.clear()
        made.open[0].links([1])
        told = read_message(Hello, made.said[0]["content"]).statement
        assert {end.stream for end in told.ends} == {THERE, BACK}


def test_a_batch_for_another_stream_is_refused(saes, tmp_path):
    with parties(saes, tmp_path) as made:
        made.open[0].fill({THERE: ROUND_BYTES})
        batch = next(said for said in made.said if b"key_ids" in said.get("content", b""))
        for party, peer in ((1, SERVER), (SERVER, 0), (0, 1)):
            with pytest.raises(AgreementError):
                made.open[party].answer(peer, "agree", batch)


def test_keys_that_a_server_announces_in_a_peers_name_go_nowhere(saes, tmp_path):
    with parties(saes, tmp_path) as made:
        made.open[0].fill({THERE: ROUND_BYTES})
        batch = next(said for said in reversed(made.said) if "tag" in said)
        old = read_message(Announce, batch["content"])
        forged = old.model_copy(update={"key_ids": old.key_ids[::-1], "start": old.start + 1})
        before = made.open[1]._store.end(THERE)
        with pytest.raises(AgreementError, match="fails its MAC"):
            made.open[1].answer(0, "agree", {**batch, "content": forged.model_dump_json().encode()})
        assert made.open[1]._store.end(THERE) == before


def test_messages_that_make_no_sense_are_errors_of_ours(saes, tmp_path):
    with parties(saes, tmp_path) as made:
        for content, action in product(NONSENSE, ("connect", "connected", "agree", "gossip")):
            for payload in ({"content": content, "tag": b""}, {}, {"content": 7}):
                with pytest.raises(FedketError):
                    made.open[0].answer(1, action, payload)
        told = Hello(statement=made.open[1]._links[0]._statement([THERE]), key_ids=(), size_bits=8)
        made.open[0]._links[1]._key = None
        with pytest.raises(AgreementError, match="has not been confirmed"):
            made.open[0].answer(1, "connect", {"content": told.model_dump_json().encode()})
        with pytest.raises(ProtocolError, match="no link with party 7"):
            made.open[0].answer(7, "connect", {})


def test_answers_that_make_no_sense_are_errors_of_ours(saes, tmp_path):
    with parties(saes, tmp_path) as made:
        for content in NONSENSE:
            link = made.open[1]._links[0]
            hear = type(link)._hear
            link._hear = lambda first, content=content, link=link, hear=hear: (
                hear(link, first)
                and {"content": content, "tag": _tag(link._asked.key, "reply", first, content)}
            )
            with pytest.raises(LinksWithoutKeyError, match="malformed"):
                made.open[0].links([1])


def test_a_peer_that_is_away_is_named(saes, tmp_path):
    with parties(saes, tmp_path) as made:
        made.stop(1)
        with pytest.raises(LinksWithoutKeyError, match="party 1 is away") as error:
            made.open[0].links([1, SERVER])
        assert [(f.teller, f.peer, f.accused) for f in error.value.faults] == [(0, 1, 1)]


def test_an_end_waits_once_for_its_key_manager_and_not_once_for_each_link(saes, tmp_path):
    asked = []

    def away(peer):
        asked.append(peer)
        raise KmeUnreachableError("nobody is there")

    with parties(saes, tmp_path) as made:
        for link in made.open[0]._links.values():
            link._kme, link._pauses = link._kme._replace(status=away), (0.0, 0.0)
        for attempts in (3, 1):
            asked.clear()
            with pytest.raises(LinksWithoutKeyError) as error:
                made.open[0].links([1, SERVER])
            assert {(f.peer, f.accused) for f in error.value.faults} == {(1, 0), (SERVER, 0)}
            assert asked == ["bob"] * attempts


def test_the_file_of_another_application_is_refused(saes, tmp_path):
    with pytest.raises(KeyMaterialError, match="knows this party as `ada`"):
        open_store_keys(0, tmp_path / "0", saes["bob"], SAES, lambda peer, action, payload: {})
