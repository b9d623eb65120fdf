"""One site whose key manager it cannot trust, among healthy ones; real processes."""

import shutil

import pytest

pytest.importorskip("nvflare")

from federations import finish, lines_of
from local_sites import experiment

from fedket.deploy.local import prepare
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
