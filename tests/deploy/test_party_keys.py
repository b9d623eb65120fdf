"""Parties with stores of their own: no byte twice, the same bytes at both ends, own links only."""

import shutil
from contextlib import contextmanager, suppress
from itertools import product
from pathlib import Path

import pytest

from fedket.deploy.party_keys import open_store_keys
from fedket.errors import FedketError, KeyMaterialError, ProtocolError
from fedket.keys.etsi014.agreement import Announce, read_message
from fedket.keys.etsi014.errors import AgreementError, PeerSilentError
from fedket.keys.kme.config import KmeConfig
from fedket.keys.kme.pools import KeyPools
from fedket.keys.kme.server import serving
from fedket.keys.kme.trial import write_trial
from fedket.keys.link import Hello, Statement, StreamEnd, _tag
from fedket.schema import read_table
from fedket.types import SERVER

SAES = {0: "ada", 1: "bob", SERVER: "hub"}
THERE, BACK = (0, 1), (1, 0)
STREAM_ENDS = (0, 1)
ROUND_BYTES = 64

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


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    """Nothing that is missing here comes later."""
    monkeypatch.setattr("fedket.deploy.party_keys.PAUSES", ())


@pytest.fixture(scope="module")
def saes(tmp_path_factory):
    """Files of three applications whose key manager runs in a thread."""
    trial = write_trial(tmp_path_factory.mktemp("trial"), ["kme"], list(SAES.values()))
    config = read_table(trial.kme_config, KmeConfig)
    free = tuple(kme.model_copy(update={"port": 0}) for kme in config.kme)
    links = tuple(link.model_copy(update={"initial_keys": 10**6}) for link in config.link)
    with serving(KeyPools(config.model_copy(update={"kme": free, "link": links}))) as served:
        for path in trial.sae_configs.values():
            old = read_table(trial.kme_config, KmeConfig).kme[0].port
            path.write_text(
                path.read_text().replace(f"https://localhost:{old}", served.urls["kme"])
            )
        yield trial.sae_configs


class Parties:
    """Parties of one process that reach each other by `ask`."""

    def __init__(self, saes: dict[str, Path], folder: Path) -> None:
        self.saes, self.folder = saes, folder
        self.open, self.round_num, self.said = {}, 0, []
        self.lose_replies = False
        self.server = lambda party, peer, action, payload, deliver: deliver()
        """Passes on what parties say to each other, or something else."""

    def start(self, party: int):
        def ask(peer, action, payload):
            self.said.append(payload)
            if peer not in self.open:
                raise PeerSilentError(f"party {peer} is away")

            def deliver():
                return self.open[peer].answer(party, action, payload)

            reply = self.server(party, peer, action, payload, deliver)
            if self.lose_replies:
                raise PeerSilentError("the reply was lost")
            return reply

        store, sae = self.folder / str(party), self.saes[SAES[party]]
        self.open[party] = open_store_keys(party, store, sae, SAES, ask)
        return self.open[party]

    def connect(self, *parties: int) -> None:
        """Confirm all links of these parties, or of all."""
        for low, high in (THERE, (SERVER, 0), (SERVER, 1)):
            if not parties or {low, high} & set(parties):
                self.open[low].links([high])

    def stop(self, party: int) -> None:
        self.open.pop(party).close()

    def restore(self, party: int, copy: Path) -> None:
        """Start a party from an old copy of its store."""
        self.stop(party)
        shutil.rmtree(self.folder / str(party))
        shutil.copytree(copy, self.folder / str(party))
        self.start(party)

    def spend_alone(self, party, stream):
        """What one end is given when the other one is not asked at all."""
        self.round_num += 1
        keys = self.open[party].source(f"run {self.round_num}")
        if party == stream[0]:
            keys.reserve(1, party, {stream: ROUND_BYTES})
        else:
            keys.accept(1, party, {stream: (0, ROUND_BYTES)})
        return keys.spend(1, party, stream, 0, ROUND_BYTES).reveal()

    def spend(self, stream, num_bytes=ROUND_BYTES):
        """What both ends are given for one round; the round's name is never used again."""
        self.round_num += 1
        sender, receiver = (self.open[end].source(f"run {self.round_num}") for end in stream)
        start = sender.reserve(1, stream[0], {stream: num_bytes})[stream]
        receiver.accept(1, stream[1], {stream: (start, num_bytes)})
        ends = ((sender, stream[0]), (receiver, stream[1]))
        return [keys.spend(1, end, stream, 0, num_bytes).reveal() for keys, end in ends]


@contextmanager
def parties(saes, folder):
    made = Parties(saes, folder)
    try:
        for party in SAES:
            made.start(party)
        made.connect()
        yield made
    finally:
        for party in list(made.open):
            made.stop(party)


@pytest.mark.parametrize("stream", [THERE, BACK, (0, SERVER), (SERVER, 1)])
def test_a_fill_gives_both_ends_the_same_bytes_and_says_none_of_them(saes, tmp_path, stream):
    with parties(saes, tmp_path) as made:
        made.open[stream[0]].fill({stream: ROUND_BYTES})
        given = [made.spend(stream) for _ in range(16)]
        for ours, theirs in given:
            assert ours == theirs
            assert not any(repr(ours[:8])[2:-1] in repr(said) for said in made.said)
        assert len({ours for ours, _ in given}) == len(given)


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
        with pytest.raises(PeerSilentError):
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
        with pytest.raises(AgreementError, match="not its own"):
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
            with pytest.raises(AgreementError, match="malformed"):
                made.open[0].links([1])


def test_a_peer_that_is_away_is_named(saes, tmp_path):
    with parties(saes, tmp_path) as made:
        made.stop(1)
        with pytest.raises(PeerSilentError, match="party 1 is away"):
            made.open[0].links([1])


def test_the_file_of_another_application_is_refused(saes, tmp_path):
    with pytest.raises(KeyMaterialError, match="knows this party as `ada`"):
        open_store_keys(0, tmp_path / "0", saes["bob"], SAES, lambda peer, action, payload: {})


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
        with pytest.raises(KeyMaterialError, match="has not been confirmed"):
            made.open[old].fill({(old, 1 - old): ROUND_BYTES})


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
