"""Parties with pad stores and a key manager in one process, and a server that carries messages."""

import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

from fedket.deploy.party_keys import open_store_keys
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


@contextmanager
def key_manager(folder):
    """Files of three applications whose key manager runs in a thread."""
    trial = write_trial(folder, ["kme"], list(SAES.values()))
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
    impatient = pytest.MonkeyPatch()
    impatient.setattr("fedket.deploy.party_keys.PAUSES", ())
    try:
        for party in SAES:
            made.start(party)
        made.connect()
        yield made
    finally:
        impatient.undo()
        for party in list(made.open):
            made.stop(party)
