"""`deploy init`: kits that allow our classes only, and all of a federation's folder or nothing."""

import hashlib
import importlib.util
import json
import os
import shutil
import stat
import subprocess
import tomllib
from pathlib import Path

import pytest
from cryptography.x509 import DNSName, IPAddress, SubjectAlternativeName
from cryptography.x509.oid import NameOID

from fedket import cli
from fedket.deploy.choices import Choices
from fedket.deploy.engines.flare.engine import party_command
from fedket.deploy.engines.flare.job import (
    LAUNCHER_CLASS,
    SERVER_CLASSES,
    SERVER_LAUNCHER_CLASS,
    SITE_CLASSES,
)
from fedket.deploy.engines.flare.kits import CONSOLE, STREAMERS, TALKATIVE, person, settle
from fedket.deploy.files import (
    FEDERATION,
    SITE,
    FederationFile,
    kit_engine,
    read_federation,
    read_site,
)
from fedket.deploy.identity.authority import read_certificate
from fedket.deploy.local import free_ports
from fedket.deploy.project import for_sites, read_layout, write_project
from fedket.errors import ConfigError
from fedket.experiment.load import load_config, parse_config
from fedket.experiment.run_directory import config_hash
from fedket.experiment.shipped import find_experiment
from fedket.keys.etsi014.config import SaeConfig
from fedket.keys.etsi014.doctor import examine
from fedket.keys.kme.config import KmeConfig
from fedket.keys.kme.pools import KeyPools
from fedket.keys.kme.server import serving
from fedket.schema import read_table

pytest.importorskip("nvflare")


LONG = ".".join(["hospital_a", "x" * 60, "y" * 63, "example.org"])
HOSTS = (LONG, "10.0.0.7")
SHARED = ["--set", "aggregation.kind=shared_masks"]


@pytest.fixture(scope="module")
def config():
    return load_config(find_experiment(Path("quickstart")))


@pytest.fixture(scope="module")
def layout(config, tmp_path_factory):
    """A federation of three sites; read only."""
    people = "ada@example.org", ("eve@example.org",)
    choices = Choices(("ada", "bob", "cy-3"), HOSTS, 9002, *people)
    return write_project(config, tmp_path_factory.mktemp("federations") / "heart", choices)


def resources(kit):
    return json.loads((kit / "local" / "resources.json").read_text())


@pytest.mark.parametrize("party", ["server", "ada", "bob", "cy-3"])
def test_a_kit_runs_our_classes_and_sends_no_log(layout, party):
    content = resources(layout.kits[party])
    allowed = SERVER_CLASSES if party == "server" else SITE_CLASSES
    assert content["class_allow_list"] == list(allowed)
    assert content["class_list_enforcement_mode"] == "enforce"
    assert content["allow_log_streaming"] is False
    assert not {component["id"] for component in content["components"]} & set(STREAMERS)


@pytest.mark.parametrize("party", ["server", "ada", "bob", "cy-3"])
def test_a_coordinator_hands_jobs_in_an_observer_looks_on_and_neither_does_more(layout, party):
    file = layout.kits[party] / "local" / "authorization.json"
    rights = json.loads(file.read_text())["permissions"]
    assert set(rights) == {"coordinator", "observer"}
    given = {
        role: {right for right, whose in of_role.items() if whose != "none"}
        for role, of_role in rights.items()
    }
    assert given["coordinator"] == {"submit_job", "manage_job", "view"}
    assert given["observer"] == {"view"}
    default = json.loads(file.with_name("authorization.json.default").read_text())["permissions"]
    for of_role in rights.values():  # a new FLARE has no right we forgot
        assert set(default["lead"]) <= set(of_role)


@pytest.mark.parametrize("party", ["server", "ada"])
def test_logs_have_no_line_for_every_message_and_the_terminal_none_of_them(layout, party):
    file = layout.kits[party] / "local" / "log_config.json"
    default = json.loads(file.with_name("log_config.json.default").read_text())
    written = json.loads(file.read_text())
    handlers = default["loggers"]["root"]["handlers"]
    assert written["loggers"]["root"]["handlers"] == [h for h in handlers if h != CONSOLE]
    assert "logFileHandler" in written["loggers"]["root"]["handlers"]
    assert {**written, "loggers": 0} == {**default, "loggers": 0}
    for name, level in TALKATIVE.items():
        assert written["loggers"][name] == {"level": level}
        assert importlib.util.find_spec(name) is not None


def test_the_job_names_our_classes_and_brings_no_code(layout):
    assert {path.suffix for path in layout.job.rglob("*") if path.is_file()} == {".json"}
    named = {
        name
        for path in layout.job.rglob("config_fed_*.json")
        for name in _named(json.loads(path.read_text()))
    }
    assert named | {LAUNCHER_CLASS, SERVER_LAUNCHER_CLASS} == {*SERVER_CLASSES, *SITE_CLASSES}


def _named(content):
    """Every class that a part of a job names."""
    parts = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in parts:
        if key == "path":
            yield value
        elif isinstance(value, dict | list):
            yield from _named(value)


def test_every_party_gets_its_own_key_and_nobody_elses(layout):
    keys = [path for kit in layout.kits.values() for path in kit.rglob("*.key")]
    assert len(keys) == len({path.read_bytes() for path in keys}) == 6


def test_nobody_else_reads_any_file_of_a_new_federation(layout):
    assert (layout.directory / "provisioning" / "root.key").is_file()
    assert not any(path.stat().st_mode & 0o077 for path in layout.directory.rglob("*"))
    assert stat.S_IMODE(layout.directory.stat().st_mode) == 0o700


def test_a_server_is_reached_under_each_of_its_names_however_long(layout):
    """A certificate's common name ends after 64 characters, its alternative names do not."""
    certificate = read_certificate((layout.kits["server"] / "startup/server.crt").read_bytes(), "")
    names = certificate.extensions.get_extension_for_class(SubjectAlternativeName).value
    assert [*names.get_values_for_type(DNSName)] == [LONG]
    assert [f"{ip}" for ip in names.get_values_for_type(IPAddress)] == ["10.0.0.7"]
    site, server = (
        json.loads((layout.kits[party] / "startup" / file).read_text())["servers"][0]
        for party, file in (("ada", "fed_client.json"), ("server", "fed_server.json"))
    )
    assert site["service"]["target"] == server["service"]["target"] == f"{LONG}:9002"
    assert site["identity"] == server["admin_server"] == "server"


def test_people_have_the_names_and_roles_they_were_given(layout):
    assert person(layout.kits["admin"]) == "ada@example.org"
    assert person(layout.kits["eve@example.org"]) == "eve@example.org"
    for party, role in (("admin", "coordinator"), ("eve@example.org", "observer")):
        content = (layout.kits[party] / "startup" / "client.crt").read_bytes()
        subject = read_certificate(content, party).subject
        assert subject.get_attributes_for_oid(NameOID.UNSTRUCTURED_NAME)[0].value == role


@pytest.mark.parametrize("party", ["server", "ada"])
def test_a_kit_s_script_starts_it_with_its_guard(layout, party, tmp_path):
    scripts = [*layout.kits[party].rglob("*.sh")]
    assert [script.name for script in scripts] == ["start.sh"]
    (tmp_path / "fedket").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "fedket").chmod(0o700)
    paths = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    done = subprocess.run(
        [scripts[0]], env={"PATH": paths}, cwd="/", check=True, capture_output=True, text=True
    )
    assert done.stdout == f"deploy start {layout.kits[party].resolve()}\n"


def test_a_kit_whose_port_is_open_to_everybody_is_not_started(layout, tmp_path):
    shutil.copytree(layout.kits["ada"], tmp_path / "ada")
    (tmp_path / "ada" / "local" / "comm_config.json").unlink()
    with pytest.raises(ConfigError, match="would be open to all"):
        party_command(tmp_path / "ada")


@pytest.mark.parametrize("party", ["server", "ada"])
def test_processes_of_a_party_show_each_other_certificates(layout, party):
    written = json.loads((layout.kits[party] / "local" / "comm_config.json").read_text())
    assert written["internal"]["resources"]["connection_security"] == "mtls"


def test_all_parties_read_the_same_experiment_and_names(layout, config):
    server = read_federation(layout.files("server") / FEDERATION)
    assert (server.hosts, server.port) == (HOSTS, 9002)
    texts = {(layout.files(p) / "experiment.toml").read_text() for p in ("server", *server.sites)}
    assert len(texts) == 1
    for number, name in enumerate(("ada", "bob", "cy-3")):
        site = read_site(layout.files(name) / SITE)
        assert (site.name, site.client) == (name, number)
        assert (site.sites, site.saes) == (server.sites, server.saes)
        assert read_table(site.sae, SaeConfig).sae_id == site.saes[number]
    told = (layout.directory / "OPERATORS.md").read_text()
    assert config_hash(for_sites(config, 3))[:16] in told
    assert all(said in told for said in config.aggregation.caveats())


def test_deadlines_are_spelt_out_where_the_operator_looks(layout):
    said = tomllib.loads((layout.files("server") / FEDERATION).read_text())
    for name in ("phase_s", "training_s", "join_s", "silent_s"):
        assert said[name] == FederationFile.model_fields[name].default


def test_a_folder_can_be_read_back(layout):
    assert read_layout(layout.directory) == layout
    with pytest.raises(ConfigError, match="not a federation's folder"):
        read_layout(layout.kits["ada"])


def test_every_kit_but_the_administrators_can_be_started(layout):
    for party, kit in layout.kits.items():
        if party in ("admin", "eve@example.org"):
            with pytest.raises(ConfigError, match="not a startup kit"):
                party_command(kit)
        else:
            assert str(kit.resolve()) in party_command(kit)


def test_a_server_keeps_its_state_in_its_kit_wherever_that_is(layout, tmp_path):
    moved = tmp_path / 'far "away" ö' / "kit"
    (moved / "local").mkdir(parents=True)
    text = (layout.kits["server"] / "local" / "resources.json").read_text()
    assert text.count(str(layout.kits["server"].resolve() / "state")) == 2
    (moved / "local" / "resources.json").write_text(text)
    for _ in range(2):
        settle(moved)
        content = resources(moved)
        places = [c["args"]["uri_root"] for c in content["components"] if c["id"] == "job_manager"]
        places.append(content["snapshot_persistor"]["args"]["storage"]["args"]["root_dir"])
        assert places == [f"{moved}/state/jobs-storage", f"{moved}/state/snapshot-storage"]
    before = (layout.kits["ada"] / "local" / "resources.json").read_bytes()
    settle(layout.kits["ada"])
    assert (layout.kits["ada"] / "local" / "resources.json").read_bytes() == before


@pytest.mark.parametrize("sites", [2, 7])
def test_a_project_has_a_server_its_sites_and_an_administrator(config, tmp_path, sites):
    names = tuple(f"site-{i}" for i in range(sites))
    layout = write_project(config, tmp_path / "fed", Choices(names, min_sites=2))
    assert set(layout.kits) == {"server", "admin", *names}
    assert layout.sites() == [*names]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--sites", "ada"], "name two sites or more"),
        (["--sites", ""], "name two sites or more"),
        (["--sites", "ada,ada"], "each once"),
        (["--sites", "ada,bob"], "2 sites take part in a round, 3 must"),
        (["--sites", "a,b,c", "--min-sites", "4"], "3 sites take part in a round, 4 must"),
        (["--sites", "ada,Bob"], "`Bob` cannot name a site"),
        (["--sites", "ada,server"], "`server` cannot name a site"),
        (["--sites", "ada,../bob"], "cannot name a site"),
        (["--sites", f"ada,{'b' * 33}"], "cannot name a site"),
        (["--sites", "ada,bob,cy", "--host", "not a host"], "host"),
        (["--sites", "ada,bob,cy", "--host", "::1"], "give a host name that leads there"),
        (["--sites", "ada,bob,cy", "--observer", "eve"], "`eve` cannot name a person"),
        (
            ["--sites", "ada,bob,cy", "--set", "aggregation.kind=quantised"],
            "nothing but masked words",
        ),
        (["--sites", "ada,bob,cy", *SHARED, "--set", "aggregation.threshold=9"], "threshold"),
        (["--sites", "ada,bob,cy", "--set", "agregation.kind=pairwise_masks"], "did you mean"),
    ],
)
def test_what_cannot_be_is_one_line_and_nothing_is_written(
    tmp_path, monkeypatch, capsys, arguments, says
):
    folder = tmp_path / "fed"
    common = ["fedket", "deploy", "init", "quickstart", "--host", "here", "--output", str(folder)]
    monkeypatch.setattr("sys.argv", [*common, *arguments])
    assert cli.execute() == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
    assert not folder.exists()


def test_what_is_there_already_is_left_alone(config, tmp_path, monkeypatch, capsys):
    (tmp_path / "notes.txt").write_text("mine")
    common = ["fedket", "deploy", "init", "quickstart", "--sites", "a,b,c", "--host", "here"]
    monkeypatch.setattr("sys.argv", [*common, "--output", str(tmp_path)])
    assert cli.execute() == 2
    assert "is not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("saes", [("a", "b"), ("a", "b", "hub", "d")])
def test_every_party_needs_an_sae_of_its_own(config, tmp_path, saes):
    with pytest.raises(ConfigError, match="2 sites and the server need 3"):
        write_project(config, tmp_path / "fed", Choices(("ada", "bob"), saes=saes, min_sites=2))
    assert not (tmp_path / "fed").exists()


def test_sites_change_no_number_of_an_experiment():
    tables = {"partition": {"kind": "dirichlet", "num_clients": 20, "alpha": 0.1}}
    config = parse_config(
        {"name": "x", "seed": 7, "aggregation": {"kind": "pairwise_masks", "clip": 0.1}} | tables
    )
    old, new = config.model_dump(mode="json"), for_sites(config, 3).model_dump(mode="json")
    changed = {
        f"{table}.{key}"
        for table, values in old.items()
        for key in (values if isinstance(values, dict) else [])
        if values[key] != new[table].get(key)
    }
    assert changed == {"partition.num_clients", "keys.kind", "engine.kind"}
    assert new["partition"]["num_clients"] == 3
    assert for_sites(for_sites(config, 3), 3) == for_sites(config, 3)


def test_a_cohort_larger_than_the_federation_is_all_of_it(config):
    sampled = config.model_copy(
        update={"federation": config.federation.model_copy(update={"clients_per_round": 10})}
    )
    assert for_sites(sampled, 3).federation.clients_per_round == 3


DEVICE = json.dumps(
    {
        "qubits": [[{"name": n, "value": 1e-4, "unit": "s"} for n in ("T1", "T2")]] * 2,
        "gates": [
            {
                "gate": gate,
                "qubits": qubits,
                "parameters": [
                    {"name": "gate_error", "value": 0.01, "unit": ""},
                    {"name": "gate_length", "value": 3e-7, "unit": "s"},
                ],
            }
            for gate, qubits in [("sx", [0]), ("sx", [1]), ("cz", [0, 1])]
        ],
    }
)
OWN = """
import jax.numpy as jnp
def mine(logits, labels):
    return jnp.mean(logits**2)
"""


@pytest.mark.parametrize("code", [False, True])
def test_data_that_an_experiment_names_go_into_kits_and_code_only_at_home(tmp_path, code):
    """No code travels: every party puts its own copy there, which the guide names by its hash."""
    beside = tmp_path / "mine"
    beside.mkdir()
    (beside / "own.py").write_text(OWN)
    (beside / "device.json").write_text(DEVICE)
    tables = ["training.loss=own.py:mine", "noise={kind='calibration', file='device.json'}"]
    tables += ["model.circuit=chen_yoo", "model.num_layers=1", "model.num_qubits=2"]
    (beside / "mine.toml").write_text(find_experiment(Path("quickstart")).read_text())
    config = load_config(beside / "mine.toml", tables)
    choices = Choices(("ada", "bob"), code=code, min_sites=2)
    layout = write_project(config, tmp_path / "federation", choices)
    for party in ("server", "ada", "bob"):
        assert (layout.files(party) / "device.json").read_text() == DEVICE
        assert (layout.files(party) / "own.py").exists() == code
    told = (layout.directory / "OPERATORS.md").read_text()
    assert f"`own.py`, SHA-256 `{hashlib.sha256(OWN.encode()).hexdigest()}`" in told
    if code:
        again = load_config(layout.files("ada") / "experiment.toml")
        assert config_hash(again) == config_hash(for_sites(config, 2))


def test_the_kit_of_who_only_asks_names_the_engine(layout):
    for who in ("admin", "eve@example.org"):
        assert kit_engine(layout.kits[who]).kind == kit_engine(layout.kits["server"]).kind


def test_a_trial_brings_a_key_manager_that_every_party_reaches(config, tmp_path):
    port, sites = free_ports(1)[0], ("ada", "bob")
    choices = Choices(sites, trial_kme="127.0.0.1", kme_port=port, min_sites=2)
    layout = write_project(config, tmp_path / "trial", choices)
    with serving(KeyPools(read_table(layout.directory / "kme" / "kme.toml", KmeConfig))):
        for party in (*sites, "server"):
            sae = read_table(layout.files(party) / "sae.toml", SaeConfig)
            assert {sae.ca.parent, sae.certificate.parent, sae.key.parent} == {layout.files(party)}
            assert {sae.sae_id, *sae.peers} == {*sites, "server"}
            assert not [check for check in examine(sae, sample_s=0) if check.outcome == "fail"]
    assert "keys are simulated" in (layout.files("ada") / "sae.toml").read_text()
    assert "keys are simulated" in (layout.directory / "OPERATORS.md").read_text()


def test_the_command_names_a_trial_s_keys_for_what_they_are(tmp_path, monkeypatch, capsys):
    common = ["fedket", "deploy", "init", "quickstart", "--sites", "a,b,c", "--trial-kme"]
    where = ["--host", "fed.example.org", "--output", str(tmp_path / "fed")]
    monkeypatch.setattr("sys.argv", [*common, *where])
    assert cli.execute() == 0
    said = f"keys are simulated, by: fedket kme serve {tmp_path / 'fed' / 'kme' / 'kme.toml'}"
    assert said in capsys.readouterr().out
    sae = read_table(tmp_path / "fed" / "kits" / "b" / "local" / "fedket" / "sae.toml", SaeConfig)
    assert sae.kme_url == "https://fed.example.org:8441"
