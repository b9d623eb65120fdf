"""Trouble with keys among real processes: one site's key manager, one site's pads."""

import shutil
import subprocess
import sys
import time
from contextlib import ExitStack
from itertools import combinations

import pytest

pytest.importorskip("nvflare")

from benchmarks.foreign_kmes import parties, write_links
from federations import finish, lines_of
from local_sites import experiment
from strict_kme import serving_link

from fedket.deploy.local import prepare, running
from fedket.keys.kme.certificates import write_certificates

pytestmark = [pytest.mark.long, pytest.mark.xdist_group("federations")]


@pytest.mark.parametrize("wrong", ["site-1", "site-4"])
def test_a_wrong_certificate_costs_its_own_site_and_no_other(tmp_path, wrong):
    config = experiment(
        {"kind": "pairwise_masks", "bits": 16},
        partition={"kind": "iid", "num_clients": 4},
        federation={"rounds": 12},
        model={"kind": "vqc", "num_qubits": 6, "num_layers": 1},
    )
    layout = prepare(config, 4, tmp_path / "federation")
    other = write_certificates(tmp_path / "pki", ["kme"], ["nobody"])
    shutil.copy(other.ca, layout.files(wrong) / "ca.crt")
    finish(layout)
    lines, number = lines_of(layout), wrong[-1]
    assert [line["round"] for line in lines] == list(range(1, 13))
    for line in lines:
        assert set(line["dropped"]) == {str(int(number) - 1)}
        assert "ask the KME's operator for its CA" in " ".join(line["dropped"].values())
    assert not any("lost" in line and line["lost"] for line in lines)


def test_a_site_with_damaged_pads_is_in_again_after_a_reset(tmp_path):
    config = experiment(
        {"kind": "pairwise_masks", "bits": 16},
        partition={"kind": "iid", "num_clients": 3},
        federation={"rounds": 40},
        model={"kind": "vqc", "num_qubits": 6, "num_layers": 1},
    )
    layout = prepare(config, 3, tmp_path / "federation")
    command = [sys.executable, "-m", "fedket", "deploy", "run", str(layout.directory)]
    with running(layout), subprocess.Popen(command, stdout=subprocess.DEVNULL) as watched:
        while len(lines_of(layout)) < 5:
            assert watched.poll() is None
            time.sleep(0.02)
        watched.terminate()
    before, store = len(lines_of(layout)), layout.files("site-2") / "pads"
    for pads in (store / "segments").glob("*.pads"):
        pads.write_bytes(bytes(pads.stat().st_size))
    for link in ("0", "2", "server"):
        reset = [sys.executable, "-m", "fedket", "keys", "reset", str(store), link]
        subprocess.run(reset, check=True, capture_output=True)
    finish(layout)
    lines = lines_of(layout)
    assert [line["round"] for line in lines] == list(range(1, 41))
    assert not any(line["dropped"] or line["lost"] for line in lines[before + 1 :])
    for party in ("server", "site-1", "site-2", "site-3"):
        audit = [sys.executable, "-m", "fedket", "keys", "verify"]
        where = str(layout.files(party) / "pads")
        assert subprocess.run([*audit, where], check=False, capture_output=True).returncode == 0


def test_key_managers_of_others_lead_from_the_doctor_to_masked_rounds(tmp_path):
    config = experiment(
        {"kind": "pairwise_masks", "bits": 16},
        partition={"kind": "iid", "num_clients": 3},
        federation={"rounds": 3},
        model={"kind": "vqc", "num_qubits": 6, "num_layers": 1},
    )
    layout = prepare(config, 3, tmp_path / "federation")
    pki = layout.directory / "kme"
    with ExitStack() as stack:
        urls = {
            pair: stack.enter_context(
                serving_link(pki / "kme.crt", pki / "kme.key", pki / "ca.crt")
            )
            for pair in combinations(parties(layout), 2)
        }
        write_links(layout, urls)
        for party in parties(layout):
            doctor = [sys.executable, "-m", "fedket", "keys", "doctor", "--sample-s", "0"]
            asked = [*doctor, "--try-one-key", str(layout.files(party) / "sae.toml")]
            done = subprocess.run(asked, check=False, capture_output=True, text=True)
            assert done.returncode == 0, done.stdout
            assert done.stdout.count("came, 256 bits") == 3
        finish(layout)
    lines = lines_of(layout)
    assert [line["round"] for line in lines] == [1, 2, 3]
    assert not any(line["dropped"] or line["lost"] for line in lines)
