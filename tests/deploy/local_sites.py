"""Federations of sites in one process, for tests.

Unless a test asks for another partition, sites have equally many samples, and nothing is compiled
ahead of the first round: sites of one process then share their programs, which are those of a
model that compiles quickly.
"""

from pathlib import Path
from unittest.mock import patch

from fedket.deploy.rounds import SiteRounds
from fedket.deploy.server_experiment import site_experiment
from fedket.deploy.site import Site
from fedket.deploy.site_trainer import SiteTrainer, make_task
from fedket.experiment.load import parse_config
from fedket.experiment.run_directory import config_hash
from fedket.keys import OsRandomSource
from fedket.secure.phases import Failure, Reply

SITES = 4

KINDS = {
    "masked": {"kind": "pairwise_masks", "bits": 16},
    "masked, complete words": {"kind": "pairwise_masks", "bits": 8, "modulus": "safe"},
    "shared": {"kind": "shared_masks", "bits": 16, "colluders": 1, "threshold": 3},
}

CONFIRMED = {
    "confirmed": {"kind": "pairwise_masks", "bits": 16, "confirm": True},
    "malicious": KINDS["shared"] | {"malicious": True},
}


class SharedKeys:
    """All ends of all links in one process: for tests only."""

    def __init__(self, source):
        self._source = source

    def source(self, session):
        return self._source

    def links(self, peers):
        pass

    def fill(self, lengths):
        return 1

    def answer(self, peer, action, payload):
        raise AssertionError("nobody asks")


class SessionKeys(SharedKeys):
    """Key of its own for each session, as a pad store counts rounds."""

    def __init__(self):
        self._sources = {}

    def source(self, session):
        return self._sources.setdefault(session, OsRandomSource())


class LocalMembers:
    """Sites in this process; `silent` maps (site, action) to True where no answer comes."""

    def __init__(self, sites, silent=None):
        self.sites, self.silent = sites, silent or (lambda site, action: False)
        self.sent, self.received = [], []
        greetings = {s.client_id: {"experiment": config_hash(s._config)} for s in sites}
        self.handshakes = {
            s.client_id: s.handle("handshake", greetings[s.client_id]).payload for s in sites
        }

    def open(self, session, told=None):
        """Begin a session; `told` maps a site to the numbers of samples that it is told."""
        classes = max(h["classes"] for h in self.handshakes.values())
        largest = max(h["samples"] for h in self.handshakes.values())
        counts = {i: said["samples"] for i, said in self.handshakes.items()}
        request = {"session": session, "classes": classes, "largest": largest}
        for site in self.sites:
            samples = list(counts.values()) if told is None else told(site.client_id)
            request |= {"sites": list(counts), "samples": samples}
            with patch.object(SiteTrainer, "compile", lambda _: None):
                assert isinstance(site.handle("setup", request), Reply)

    def gather(self, needed=0):
        return {i: handshake["samples"] for i, handshake in self.handshakes.items()}

    def tell(self, left_out):
        pass

    def absent(self):
        return {}

    def execute(self, phase):
        outcomes = {}
        for i in phase.to:
            payload = phase.payload_for(i)
            self.sent.append((phase.action, payload))
            if self.silent(i, phase.action):
                outcomes[i] = Failure(f"client {i} dropped out (simulated)")
                continue
            outcomes[i] = self.sites[i].handle(phase.action, payload)
            if isinstance(outcomes[i], Reply):
                self.received.append((phase.action, outcomes[i].payload))
        return outcomes


def experiment(how, **tables):
    values = {
        "name": "sites",
        "data": {"kind": "digits", "classes": [0, 1, 2], "max_train": 200, "max_test": 60},
        "partition": {"kind": "iid", "num_clients": SITES},
        "model": {"kind": "mlp"},
        "training": {"epochs": 2, "batch_size": 16},
        "aggregation": how,
        "federation": {"rounds": 3},
        "engine": {"kind": "sequential"},
    }
    return parse_config(values | tables)


def site_parts(built):
    """Each client's samples by themselves."""
    for indices in built.partition:
        yield built.dataset._replace(
            x_train=built.dataset.x_train[indices],
            y_train=built.dataset.y_train[indices],
            x_test=built.dataset.x_test[:0],
            y_test=built.dataset.y_test[:0],
        )


def federation_of(config, built, silent=None, told=None, folder=None, min_sites=(2, 2), first=0.0):
    """A federation in this process; `min_sites` are what the server and each site accept."""
    keys = SharedKeys(OsRandomSource())
    sites = []
    for i, part in enumerate(site_parts(built)):
        own = folder and folder / f"{i}"
        if own:
            own.mkdir(exist_ok=True)
        site = Site(f"site-{i}", i, config, part, keys, folder=own, min_sites=min_sites[1])
        sites.append(site)
    members = LocalMembers(sites, silent)
    members.keys = keys
    members.open("a session", told)
    features = built.dataset.x_train.shape[1:]
    task = make_task(config, features, built.dataset.num_classes, min_sites[0])
    rounds = SiteRounds(task, members, keys, "a session", first=first)
    return site_experiment(task, rounds, built.dataset).federation, members


def run(federation, rounds):
    state, records = federation.init(), []
    for _ in range(rounds):
        state, record = federation.run_round(state)
        records.append(record)
    return state, records


def processes_of(kit):
    """Process IDs of a kit, its job's included."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            command = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if process.name.isdigit() and str(kit.resolve()) in command:
            found.append(int(process.name))
    return found
