"""Who is in a federation: keys that stay where they are, and one signed list that only goes on."""

import json
import shutil
from pathlib import Path

import jax
import pytest
from cryptography import x509
from local_sites import KINDS, experiment, site_parts

from fedket import cli
from fedket.deploy.agreed import agree, check_round
from fedket.deploy.choices import Choices
from fedket.deploy.engines.flare.guard import _arriving
from fedket.deploy.files import own_files, read_federation, read_site, seated, seats_of
from fedket.deploy.identity.attendance import MemberCalls
from fedket.deploy.identity.authority import (
    days_left,
    fingerprint,
    make_root,
    pem,
    read_certificate,
    read_key,
    signed_by,
)
from fedket.deploy.identity.coordinator import Coordinator, present_sites
from fedket.deploy.identity.departed import MEMBERS, Departed
from fedket.deploy.identity.joining import Invitation, ask, check_request, invite, read_answer
from fedket.deploy.identity.kits import keep_list
from fedket.deploy.identity.members import (
    MembersChangedError,
    check_newer,
    read_list,
    sign,
)
from fedket.deploy.identity.site_kit import build_kit
from fedket.deploy.operating.consent import check_consent
from fedket.deploy.project import write_project
from fedket.deploy.run import begin_with
from fedket.deploy.site_process import SiteProcess
from fedket.deploy.site_trainer import SiteTrainer, make_task
from fedket.errors import CheckpointError, ConfigError, ProtocolError
from fedket.experiment.build import build_experiment
from fedket.experiment.load import load_config
from fedket.experiment.shipped import find_experiment
from fedket.federated.checkpoint import params_sha256, save_checkpoint, save_params
from fedket.schema import read_table
from fedket.secure.phases import Failure, Reply

pytest.importorskip("nvflare")


QUICKSTART = Path("quickstart")
OTHER = {"kind": "vqc", "num_qubits": 7, "num_layers": 1}


@pytest.fixture(scope="module")
def invited(tmp_path_factory):
    """A federation to which a server and three sites are invited."""
    place, config = tmp_path_factory.mktemp("invited"), load_config(find_experiment(QUICKSTART))
    choices = Choices(("ada", "bob", "cy"), invite=True, waits={"phase_s": 7.0})
    write_project(config, place / "heart", choices)
    return place


@pytest.fixture(scope="module")
def founded(invited, tmp_path_factory):
    """The same, when they have joined."""
    place = tmp_path_factory.mktemp("founded")
    shutil.copytree(invited, place, dirs_exist_ok=True)
    _join(Coordinator(place / "heart"), place, "server", "ada", "bob", "cy")
    return place


@pytest.fixture
def coordinator(founded, tmp_path):
    """Its coordinator, in a copy of it all."""
    shutil.copytree(founded, tmp_path, dirs_exist_ok=True)
    return Coordinator(tmp_path / "heart")


def _join(coordinator, place, *names, sae=""):
    """Let sites join, each in a folder beside the coordinator's."""
    requests = []
    for name in names:
        invitation = read_table(coordinator.invitations / f"{name}.toml", Invitation)
        requests.append(place / f"{name}.request.toml")
        ask(invitation, place / f"{name}.joining", sae or name, requests[-1])
    for name, path in coordinator.approve(requests).items():
        kit = coordinator.directory / "kits" / name if name == "server" else place / name
        build_kit(read_answer(path), place / f"{name}.joining", kit)


def test_the_server_makes_its_own_key_and_joins_before_any_site(invited, founded, tmp_path):
    shutil.copytree(invited, tmp_path, dirs_exist_ok=True)
    coordinator = Coordinator(tmp_path / "heart")
    assert [kit.name for kit in (tmp_path / "heart" / "kits").iterdir()] == ["admin"]
    with pytest.raises(ConfigError, match="the server joins first"):
        _join(coordinator, tmp_path, "ada")
    server = founded / "heart" / "kits" / "server"
    file = read_federation(own_files(server) / "federation.toml")
    assert (file.phase_s, file.sites) == (7.0, ("ada", "bob", "cy"))
    certificate = read_certificate((server / "startup" / "server.crt").read_bytes(), "server")
    key = read_key((server / "startup" / "server.key").read_bytes(), "server")
    assert fingerprint(certificate) == fingerprint(key)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]


def test_a_site_s_private_key_is_nowhere_but_in_its_own_kit(coordinator, tmp_path):
    keys = {name: (tmp_path / name / "startup/client.key").read_bytes() for name in ("ada", "bob")}
    assert keys["ada"] != keys["bob"]
    for path in (tmp_path / "heart").rglob("*"):
        assert not path.is_file() or all(key not in path.read_bytes() for key in keys.values())
    assert not (tmp_path / "ada.joining").exists()
    assert not any(p.stat().st_mode & 0o077 for p in (tmp_path / "ada").rglob("*"))


def test_sites_have_the_numbers_of_the_list_whoever_comes_and_goes(coordinator, tmp_path):
    """Numbers, and so pads, are given once; the kits of others stay as they are."""
    before = (own_files(tmp_path / "ada") / "site.toml").read_bytes()
    coordinator.revoke("bob")
    invite(coordinator.invitations, coordinator.members, "dan", replaces="cy")
    _join(coordinator, tmp_path, "dan", sae="cy")
    keep_list(own_files(tmp_path / "ada"), coordinator.text)
    ada, dan = (read_site(own_files(tmp_path / name) / "site.toml") for name in ("ada", "dan"))
    assert ada.sites == dan.sites == ("ada", "bob", "cy", "dan")
    assert (ada.client, dan.client) == (0, 3)
    assert seats_of(ada) == seats_of(dan) == (0, 3)
    server = read_federation(own_files(tmp_path / "heart/kits/server") / "federation.toml")
    assert seats_of(server) == (0, 3)
    assert server.saes == dan.saes == ("ada", "bob", "cy", "cy", "server")
    assert present_sites(coordinator.directory) == ("ada", "dan")
    assert (own_files(tmp_path / "ada") / "site.toml").read_bytes() == before
    for name, why in (("bob", "was revoked"), ("cy", "was replaced by dan")):
        keep_list(own_files(tmp_path / name), coordinator.text)
        with pytest.raises(ConfigError, match=f"site {name} {why}; ask the coordinator"):
            read_site(own_files(tmp_path / name) / "site.toml")


@pytest.mark.parametrize("name", ["ada", "bob", "server"])
def test_a_name_is_given_once(coordinator, name):
    coordinator.revoke("bob")
    with pytest.raises(ConfigError, match="names are given once"):
        invite(coordinator.invitations, coordinator.members, name)


def test_an_invitation_works_once_and_for_who_has_it(coordinator, tmp_path):
    path = invite(coordinator.invitations, coordinator.members, "dan")
    invitation = read_table(path, Invitation)
    stranger = invitation.model_copy(update={"code": "0" * 32})
    ask(stranger, tmp_path / "stranger", "dan", tmp_path / "stranger.toml")
    with pytest.raises(ConfigError, match="made by somebody who does not have"):
        coordinator.approve([tmp_path / "stranger.toml"])
    ask(invitation, tmp_path / "dan.joining", "ada", tmp_path / "dan.toml")
    with pytest.raises(ConfigError, match="another member has the SAE ID `ada`"):
        coordinator.approve([tmp_path / "dan.toml"])
    ask(invitation, tmp_path / "dan.joining", "dan", tmp_path / "dan.toml")
    coordinator.approve([tmp_path / "dan.toml"])
    with pytest.raises(ConfigError, match="nobody has invited `dan`"):
        check_request(tmp_path / "dan.toml", coordinator.invitations)


def test_an_answer_of_another_federation_makes_no_kit(coordinator, tmp_path):
    path = invite(coordinator.invitations, coordinator.members, "dan")
    invitation = read_table(path, Invitation)
    ask(invitation, tmp_path / "dan.joining", "dan", tmp_path / "dan.toml")
    (answered,) = coordinator.approve([tmp_path / "dan.toml"]).values()
    answer = read_answer(answered)
    other = make_root("heart")
    forged = answer.model_copy(update={"members": sign(coordinator.members, other)})
    other_seed = answer.experiment.replace("seed = ", "seed = 1")
    changed = answer.model_copy(update={"experiment": other_seed})
    evil = answer.model_copy(update={"files": {"../../x.json": ""}})
    for wrong, says in (
        (forged, "was changed after it was signed"),
        (changed, "fingerprint"),
        (evil, "which no answer may"),
    ):
        with pytest.raises(ConfigError, match=says):
            build_kit(wrong, tmp_path / "dan.joining", tmp_path / "dan")
        assert not (tmp_path / "dan").exists()
    build_kit(answer, tmp_path / "dan.joining", tmp_path / "dan")


def test_a_list_that_the_coordinator_did_not_sign_is_refused(coordinator):
    known = fingerprint(coordinator.root.certificate)
    assert read_list(coordinator.text, known, "it") == coordinator.members
    other = make_root("heart")
    content = json.loads(coordinator.text)
    content["signed"]["members"] = content["signed"]["members"][:-1]
    members = coordinator.members.model_copy(update={"root": pem(other.certificate).decode()})
    for text, says in (
        (json.dumps(content), "was changed after it was signed"),
        (sign(members, other), "this party knows the root key"),
        ("{}", "is no list"),
        ('{"signed": 7, "signature": ""}', "is no list"),
        ("[" * 10_000, "is no list"),
    ):
        with pytest.raises(ConfigError, match=says):
            read_list(text, known, "it")


def test_a_server_cannot_bring_back_who_has_left(coordinator, tmp_path):
    own, before = own_files(tmp_path / "ada"), coordinator.text
    coordinator.revoke("bob")
    assert keep_list(own, coordinator.text) is not None
    assert keep_list(own, coordinator.text) is None
    with pytest.raises(ProtocolError, match="this party has seen version 3"):
        keep_list(own, before)
    assert (own / MEMBERS).read_text() == coordinator.text


def test_not_even_the_coordinator_gives_a_number_or_a_name_twice(coordinator):
    old, new = coordinator.members, coordinator.members.model_copy(update={"version": 9})
    check_newer(old, new)
    ada, bob = old.find("ada"), old.find("bob")
    stolen = ada.model_copy(update={"certificate": bob.certificate})
    swapped = tuple({"ada": bob, "bob": ada}.get(m.name, m) for m in new.members)
    for wrong, says in (
        (new.model_copy(update={"members": swapped}), "numbers are given once"),
        (new.model_copy(update={"members": old.members[:-1]}), "leaves sites out"),
        (new.with_member(stolen), "gives ada another key"),
    ):
        with pytest.raises(ProtocolError, match=says):
            check_newer(old, wrong)
    coordinator.revoke("bob")
    back = coordinator.members.with_member(bob).model_copy(update={"version": 9})
    with pytest.raises(ProtocolError, match="numbers are given once"):
        check_newer(coordinator.members, back)


def test_renewed_certificates_are_for_the_same_keys_and_so_is_the_root(coordinator, tmp_path):
    own = tmp_path / "ada" / "startup"
    before = read_certificate((own / "client.crt").read_bytes(), "ada")
    root = coordinator.root.certificate
    coordinator.root = make_root("quickstart", 10, coordinator.root.key)
    coordinator.renew(days=30)
    keep_list(own_files(tmp_path / "ada"), coordinator.text)
    now = read_certificate((own / "client.crt").read_bytes(), "ada")
    new_root = read_certificate((own / "rootCA.pem").read_bytes(), "root")
    assert now != before
    assert fingerprint(now) == fingerprint(before)
    assert fingerprint(new_root) == fingerprint(root)
    assert 29 < days_left(now) < 30 < days_left(before) < 90
    assert days_left(new_root) > 700
    for certificate in (before, now):
        assert signed_by(certificate, root)
        assert signed_by(certificate, new_root)


def test_a_session_ends_when_the_members_change_and_leads_to_nobody_who_has_left(coordinator):
    folder = own_files(coordinator.directory / "kits" / "server")
    known, asked, news = fingerprint(coordinator.root.certificate), [], []

    def call(*said):
        asked.append(said)
        return Reply({})

    with pytest.raises(MembersChangedError, match="as the session began"):
        MemberCalls(folder, known, frozenset({0, 2}), call)
    coordinator.revoke("cy")
    calls = MemberCalls(folder, known, frozenset({0, 1}), call)
    calls.check(news.append)
    assert calls(2, "heartbeat", {}, 1.0, None) == Failure("has left the federation")
    calls(1, "handshake", {"experiment": "x"}, 1.0, None)
    calls(0, "heartbeat", {}, 1.0, None)
    assert [said[:3] for said in asked] == [
        (1, "handshake", {"experiment": "x", "members": coordinator.text}),
        (0, "heartbeat", {}),
    ]
    coordinator.revoke("bob")
    with pytest.raises(MembersChangedError):
        calls.check(news.append)
    assert news == ["list of members, version 4: bob was revoked; the session begins again"]


def test_a_site_that_approves_members_is_in_no_sum_with_one_that_it_has_not_approved(
    coordinator, tmp_path, monkeypatch, capsys
):
    own = own_files(tmp_path / "ada")
    config, path = load_config(own / "experiment.toml"), own / "site.toml"
    consent = ["fedket", "deploy", "consent", str(tmp_path / "ada"), "--yes"]
    monkeypatch.setattr("sys.argv", consent)
    assert cli.execute() == 0
    invite(coordinator.invitations, coordinator.members, "dan")
    _join(coordinator, tmp_path, "dan")
    said, news = Coordinator(coordinator.directory).text, []
    shown = {"experiment": "x", "members": said}
    process = SiteProcess(lambda: own, lambda names: None, news.append)
    for asks in (False, True):
        path.write_text(path.read_text() + "approve_members = true\n" * asks)
        refused = process.phase("handshake", shown).reason
        assert ("site ada has not approved dan (" in refused) == asks
        assert ("has not approved dan" in (own / "problem.txt").read_text()) == asks
    assert any("has not approved dan" in line for line in news)
    with pytest.raises(ConfigError, match="fedket deploy consent"):
        check_consent(own, config, read_site(path))
    capsys.readouterr()
    assert cli.execute() == 0
    assert "the key of dan" in capsys.readouterr().out
    check_consent(own, config, read_site(path))
    coordinator.revoke("cy")
    keep_list(own, coordinator.text)
    check_consent(own, config, read_site(path))


def test_rounds_are_drawn_among_those_that_are_there_by_their_numbers():
    config = load_config(find_experiment(QUICKSTART))
    four = seated(config, 4)
    assert (four.num_clients, seated(four, 4)) == (4, four)
    seats = (0, 2, 5, 9)
    agreed = agree(four, 2, 10, {2: 10}, seats)
    check_round(agreed, 1, dict.fromkeys(seats, 10))
    with pytest.raises(ProtocolError, match=r"names sites \[1\]"):
        check_round(agreed, 1, {1: 10, 2: 10})


def test_a_site_whose_number_is_beyond_those_there_trains():
    config = experiment(KINDS["masked"])
    part = next(iter(site_parts(build_experiment(config))))
    task = make_task(config, part.x_train.shape[1:], part.num_classes)
    trainer = SiteTrainer(task, part, 7, len(part.y_train))
    context = task.round(1, (0, 7), {0: 10, 7: 10})
    assert trainer.contribute(trainer.blank, context) is not None


class _Cell:
    def get_fqcn(self):
        return "server"


class _Connection:
    closed = False

    def close(self):
        self.closed = True


class _Message:
    def get_header(self, _):
        return "bob.job"


@pytest.mark.parametrize("left", [False, True])
def test_a_connection_of_who_has_left_is_ended_with_its_next_message(coordinator, left):
    departed = Departed(own_files(coordinator.directory / "kits" / "server") / MEMBERS)
    guarded = _arriving(departed, lambda *_: "heard")
    endpoint = type("Endpoint", (), {"name": "bob.job", "conn_props": {"peer_cn": "bob"}})()
    connection = _Connection()
    assert guarded(_Cell(), endpoint, connection, _Message()) == "heard"
    if left:
        coordinator.revoke("bob")
    heard = guarded(_Cell(), endpoint, connection, _Message())
    assert (heard, connection.closed) == ((None, True) if left else ("heard", False))


def test_without_the_root_key_nobody_lets_anybody_in(coordinator, monkeypatch, capsys):
    (coordinator.directory / "provisioning" / "root.key").unlink()
    for command in (["invite", "x"], ["revoke", "ada"], ["renew"]):
        arguments = [command[0], str(coordinator.directory), *command[1:]]
        monkeypatch.setattr("sys.argv", ["fedket", "deploy", *arguments])
        assert cli.execute() == 2
        assert "only the coordinator, who has it, can do this" in capsys.readouterr().err


def test_a_federation_begins_with_the_weights_of_an_old_run(tmp_path):
    """Its strategy begins anew; the weights of another model are refused."""
    built = build_experiment(experiment(KINDS["masked"], strategy={"kind": "fed_adam"}))
    params = jax.tree.map(lambda leaf: leaf + 1, built.federation.init().params)
    save_params(tmp_path / "model.safetensors", params)
    begun = begin_with(built, tmp_path / "model.safetensors").federation.init()
    assert params_sha256(begun.params) == params_sha256(params)
    assert begun.round_num == 0
    config = load_config(find_experiment(QUICKSTART))
    layout = write_project(
        config, tmp_path / "heart", Choices(("a", "b"), min_sites=2, start=tmp_path)
    )
    own = layout.files("server")
    server = read_federation(own / "federation.toml")
    assert (own / server.start).read_bytes() == (tmp_path / "model.safetensors").read_bytes()
    save_checkpoint(tmp_path / "checkpoint.safetensors", begun._replace(round_num=7), "any")
    choices = Choices(("a", "b"), min_sites=2, start=tmp_path)
    stopped = write_project(config, tmp_path / "stopped", choices).files("server")
    newest = begin_with(built, stopped / server.start).federation.init()
    assert params_sha256(newest.params) == params_sha256(params)
    other = build_experiment(experiment(KINDS["masked"], model=OTHER))
    with pytest.raises(CheckpointError, match="should be"):
        begin_with(other, tmp_path / "model.safetensors")
