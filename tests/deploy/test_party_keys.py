"""Parties with stores of their own: no byte twice, the same bytes at both ends, own links only."""

import json
import shutil
from contextlib import contextmanager
from itertools import product
from pathlib import Path

import pytest

from fedket.deploy.party_keys import open_store_keys
from fedket.errors import FedketError, KeyMaterialError, ProtocolError
from fedket.keys.etsi014.errors import PeerSilentError
from fedket.keys.kme.config import KmeConfig
from fedket.keys.kme.pools import KeyPools
from fedket.keys.kme.server import serving
from fedket.keys.kme.trial import write_trial
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
    b"[[[0], 1]]",
    b'[[["a", "b"], 1]]',
    b"[[[0, 1]]]",
    b'[[[0, 1], "far"]]',
    b"[[[0, 1], null]]",
    b"[[[0, 1], -1]]",
)


@pytest.fixture(scope="module")
def saes(tmp_path_factory):
    """Files of three applications whose key manager runs in a thread."""
    trial = write_trial(tmp_path_factory.mktemp("trial"), ["kme"], list(SAES.values()))
    config = read_table(trial.kme_config, KmeConfig)
    free = tuple(kme.model_copy(update={"port": 0}) for kme in config.kme)
    with serving(KeyPools(config.model_copy(update={"kme": free}))) as served:
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

    def start(self, party: int):
        def ask(peer, action, payload):
            self.said.append(payload)
            if peer not in self.open:
                raise PeerSilentError(f"party {peer} is away")
            reply = self.open[peer].answer(party, action, payload)
            if self.lose_replies:
                raise PeerSilentError("the reply was lost")
            return reply

        store, sae = self.folder / str(party), self.saes[SAES[party]]
        self.open[party] = open_store_keys(party, store, sae, SAES, ask)
        return self.open[party]

    def stop(self, party: int) -> None:
        self.open.pop(party).close()

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
        made.start(1).links([0])
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


@pytest.mark.parametrize("action", ["deposits", "withdraw"])
@pytest.mark.parametrize("stream", [[0, SERVER], [1, SERVER], [SERVER, 0], [0, 0], [7, 8]])
def test_a_peer_that_speaks_about_another_link_is_refused(saes, tmp_path, action, stream):
    with parties(saes, tmp_path) as made:
        made.open[0].fill({(0, SERVER): ROUND_BYTES})
        said = {"streams": json.dumps([[stream, 10**6]]).encode()}
        with pytest.raises(ProtocolError, match="not its own"):
            made.open[0].answer(1, action, said)
        ours, theirs = made.spend((0, SERVER))
        assert ours == theirs


def test_marks_tell_a_peer_about_its_own_link_only(saes, tmp_path):
    with parties(saes, tmp_path) as made:
        made.open[0].fill({THERE: ROUND_BYTES, (0, SERVER): ROUND_BYTES})
        answer = made.open[0].answer(1, "marks", {"streams": b"[]"})
        told = [tuple(stream) for stream, _ in json.loads(answer["streams"])]
        assert told == [THERE]


def test_a_batch_for_another_stream_is_refused(saes, tmp_path):
    with parties(saes, tmp_path) as made:
        made.open[0].fill({THERE: ROUND_BYTES})
        with pytest.raises(ProtocolError, match="not its own"):
            made.open[1].answer(SERVER, "agree", made.said[0])


def test_messages_that_make_no_sense_are_errors_of_ours(saes, tmp_path):
    with parties(saes, tmp_path) as made:
        for content, action in product(NONSENSE, ("deposits", "withdraw")):
            with pytest.raises(ProtocolError, match="about a link"):
                made.open[0].answer(1, action, {"streams": content})
        for payload in ({}, {"streams": 7}, {"streams": b"["}, {"message": b"[]"}):
            for action in ("gossip", "marks", "agree"):
                with pytest.raises(FedketError):
                    made.open[0].answer(1, action, payload)


def test_answers_that_make_no_sense_are_errors_of_ours(saes, tmp_path):
    with parties(saes, tmp_path) as made:
        made.open[0].fill({THERE: ROUND_BYTES})
        for keys in (7, [7], [[0]], None):
            answers = {"marks": [[THERE, 0]], "deposits": [[THERE, keys]]}
            made.open[1].answer = lambda peer, action, payload, answers=answers: {
                "streams": json.dumps(answers[action]).encode()
            }
            with pytest.raises(ProtocolError, match="malformed"):
                made.open[0].links([1])


def test_a_peer_that_is_away_is_named(saes, tmp_path):
    with parties(saes, tmp_path) as made:
        made.stop(1)
        with pytest.raises(PeerSilentError, match="party 1 is away"):
            made.open[0].links([1])


def test_the_file_of_another_application_is_refused(saes, tmp_path):
    with pytest.raises(KeyMaterialError, match="knows this party as `ada`"):
        open_store_keys(0, tmp_path / "0", saes["bob"], SAES, lambda peer, action, payload: {})
