"""A federation's year, with real processes: sites join, are revoked, replaced and upgraded."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pytest
from local_sites import experiment, processes_of, site_parts

from fedket.deploy.choices import Choices
from fedket.deploy.files import own_files
from fedket.deploy.local import free_ports, start_kme, start_party, stop
from fedket.deploy.private import UMASK
from fedket.deploy.project import write_project
from fedket.experiment.build import build_experiment

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("federations")]

SITES = ("ada", "bob", "cy", "dan", "eve")
ADA, BOB, CY, DAN, EVE = range(5)
PACKAGES = {"flare": "nvflare", "flower": "flwr"}
STEMS = {"flare": "client", "flower": "party"}
"""Of the names of a kit's key and certificate."""

UPGRADED = "import fedket._version\nfedket._version.__version__ = '0.1.7'\n"


class Year:
    """A coordinator's folder, and kits that sites have made beside it."""

    def __init__(self, place, engine, start=None):
        place.mkdir(exist_ok=True)
        self.place, self.heart, self.engine = place, place / "heart", engine
        port, kme_port = free_ports(2)
        config = experiment(
            {"kind": "pairwise_masks", "bits": 16},
            partition={"kind": "iid", "num_clients": 4},
            federation={"rounds": 100_000},
            model={"kind": "vqc", "num_qubits": 6, "num_layers": 1},
        )
        parts = [*site_parts(build_experiment(config))]
        self.samples = dict(zip(SITES, (*parts, parts[BOB]), strict=True))
        choices = Choices(
            sites=SITES,
            port=port,
            trial_kme="localhost",
            kme_port=kme_port,
            waits={"phase_s": 20.0, "silent_s": 6.0},
            invite=True,
            engine=engine,
            start=start,
        )
        self.layout = write_project(config, self.heart, choices)
        self.server = place / "server"

    def deploy(self, *arguments):
        """Run a command of `fedket deploy` as its operator does; returns what it says."""
        command = [sys.executable, "-m", "fedket", "deploy", *map(str, arguments)]
        done = subprocess.run(command, cwd=self.place, check=False, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def join(self, *names):
        """Let sites ask, be approved, and make their kits."""
        for name in names:
            self.deploy("join", self.heart / "invitations" / f"{name}.toml")
        said = self.deploy("approve", self.heart, *(f"{name}.request.toml" for name in names))
        for name in names:
            self.deploy("join", self.heart / "answers" / f"{name}.json")
            own = own_files(self.place / name)
            shutil.copytree(self.heart / f"sae-{name}", own, dirs_exist_ok=True)
            if name == "server":
                continue
            part = self.samples[name]
            np.savez(own / "samples.npz", x=part.x_train, y=part.y_train)
            values = (own / "site.toml").read_text().replace("prepared = false", "prepared = true")
            (own / "site.toml").write_text(values)
            self.deploy("consent", name, "--yes")
        return said

    def rounds(self):
        """Return the records of the run, as far as it is."""
        path = own_files(self.server) / "run" / "rounds.jsonl"
        text = path.read_text() if path.exists() else ""
        return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def await_sum_of(self, *sites):
        """Wait for a round whose sum is over these sites and no others; returns its number."""
        first = len(self.rounds())
        while True:
            for line in self.rounds()[first:]:
                there = [i for i in line["cohort"] if f"{i}" not in line["dropped"]]
                if not line["lost"] and there == [*sites]:
                    return line["round"]
            time.sleep(0.2)

    def startup(self, name, suffix):
        """Return the path of a site's key or certificate."""
        return self.place / name / "startup" / f"{STEMS[self.engine]}.{suffix}"

    def refused(self, name):
        """Return how often a former member was told so, or its connections ended."""
        if self.engine == "flower":
            return (self.place / name / "log.out").read_text().count("has left")
        log = (self.server / "log.txt").read_text()
        return log.count(f"ended the connection of '{name}', which has left")

    def end(self, name):
        """Kill all processes of a site."""
        for pid in processes_of(self.place / name):
            os.kill(pid, signal.SIGKILL)


@contextmanager
def running(year):
    """The key manager, the server, three sites, and a coordinator who watches."""
    before = os.umask(UMASK)
    start_kme(year.layout)
    start_party(year.server, "server")
    for name in ("ada", "bob", "cy"):
        start_party(year.place / name, name)
    command = [sys.executable, "-m", "fedket", "deploy", "run", str(year.heart)]
    with (year.place / "run.txt").open("wb") as out:
        watching = subprocess.Popen(command, stdout=out, stderr=out)
        try:
            yield
        finally:
            watching.kill()
            watching.wait()
            stop(year.heart)
            for kit in (year.server, *(year.place / name for name in SITES)):
                for pid in processes_of(kit):
                    os.kill(pid, signal.SIGKILL)
            os.umask(before)


@pytest.mark.parametrize("engine", PACKAGES)
def test_sites_join_are_revoked_renewed_replaced_and_upgraded_while_the_run_goes_on(
    engine, tmp_path
):
    pytest.importorskip(PACKAGES[engine])
    year = Year(tmp_path, engine)
    assert "key" in year.join("server", "ada", "bob", "cy")
    keys = [path.read_bytes() for path in tmp_path.rglob("startup/*.key")]
    assert len(set(keys)) == len(keys) == 5  # three sites', the server's and the coordinator's
    assert len([*year.heart.rglob("startup/*.key")]) == 1
    assert not [*year.heart.rglob("private.key")]
    with running(year):
        year.await_sum_of(ADA, BOB, CY)

        year.join("dan")
        start_party(tmp_path / "dan", "dan")
        year.await_sum_of(ADA, BOB, CY, DAN)

        assert "the server has version" in year.deploy("revoke", year.heart, "cy")
        last = len(year.rounds()) + 1  # the round that runs
        year.await_sum_of(ADA, BOB, DAN)
        for line in year.rounds()[last:]:
            assert CY not in line["cohort"]

        key, old = (year.startup("ada", suffix).read_bytes() for suffix in ("key", "crt"))
        year.deploy("renew", year.heart, "--days", "30")
        year.await_sum_of(ADA, BOB, DAN)
        while year.startup("ada", "crt").read_bytes() == old:
            time.sleep(0.2)
        assert year.startup("ada", "key").read_bytes() == key

        year.deploy("invite", year.heart, "eve", "--replaces", "bob")
        year.join("eve")
        start_party(tmp_path / "eve", "eve")
        year.await_sum_of(ADA, DAN, EVE)

        year.end("ada")
        (tmp_path / "newer").mkdir()
        (tmp_path / "newer" / "sitecustomize.py").write_text(UPGRADED)
        with pytest.MonkeyPatch.context() as patch:
            paths = os.pathsep.join([str(tmp_path / "newer"), os.environ.get("PYTHONPATH", "")])
            patch.setenv("PYTHONPATH", paths)
            start_party(tmp_path / "ada", "ada")
        year.await_sum_of(ADA, DAN, EVE)

        year.end("cy")
        before = year.refused("cy")
        start_party(tmp_path / "cy", "cy")
        while year.refused("cy") == before:
            time.sleep(0.2)
    lines = year.rounds()
    assert [line["round"] for line in lines] == [*range(1, len(lines) + 1)]
    losses = [line["train_loss"] for line in lines if not line["lost"]]
    assert losses[-1] < losses[0]

    later = Year(tmp_path / "later", engine, own_files(year.server) / "run")
    later.join("server", "ada", "bob", "cy")
    with running(later):
        later.await_sum_of(ADA, BOB, CY)
    begun = next(line["train_loss"] for line in later.rounds() if not line["lost"])
    assert abs(begun - losses[-1]) < abs(begun - losses[0])
