"""Certificates that are wrong, expired or mismatched, on either side, end in one clear line."""

import datetime
import ipaddress
import ssl
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID
from kme_network import STRANGER, World, make_config

from fedket.keys.etsi014 import tls
from fedket.keys.etsi014.dev_pki import create, issue, make_ca, write
from fedket.keys.etsi014.errors import KmeCertificateError, KmeError, KmeUnreachableError
from fedket.keys.etsi014.identity import Window, read_private_key, utc_now
from fedket.keys.etsi014.tls import client_context
from fedket.keys.kme import server
from fedket.keys.kme.pools import Network
from fedket.keys.kme.service import UnauthorizedError, sae_of

LOCALHOST = "127.0.0.1"


def window(start_days: float, end_days: float) -> Window:
    now = utc_now()
    return Window(now + datetime.timedelta(start_days), now + datetime.timedelta(end_days))


def refused(world: World, **changed: object) -> KmeError:
    with pytest.raises(KmeError) as error, world.client("alice", **changed) as kme:
        kme.status("bob")
    assert "\n" not in str(error.value)
    return error.value


@pytest.fixture(scope="module")
def strangers(tmp_path_factory):
    return create(tmp_path_factory.mktemp("strangers"), ["kme-a"], ["alice"])


def test_both_sides_want_tls_1_2_and_a_certificate(world):
    ours = client_context(world.sae("alice"))
    theirs = server.server_context(world.network.config.kme[0])
    assert ours.minimum_version == theirs.minimum_version == ssl.TLSVersion.TLSv1_2
    assert ours.verify_mode == theirs.verify_mode == ssl.CERT_REQUIRED
    assert ours.check_hostname


def test_a_kme_of_an_unknown_ca_is_not_trusted(world, strangers):
    error = refused(world, ca=strangers.ca)
    assert type(error) is KmeCertificateError
    assert "ask the KME's operator for its CA" in str(error)


@pytest.mark.parametrize("name", ["kme.example", "127.0.0.2"])
def test_a_kme_of_another_host_is_not_trusted(world, name):
    error = refused(world, server_name=name)
    assert type(error) is KmeCertificateError
    assert "set `server_name`" in str(error) or "as `server_name`" in str(error)


def test_the_name_in_the_certificate_may_differ_from_the_url_if_told(world):
    with world.client("alice", server_name="localhost") as kme:
        assert kme.status("bob")


@pytest.mark.parametrize(
    ("days", "says"), [((-9, -1), "its certificate has expired"), ((1, 9), "not valid yet")]
)
def test_a_kme_whose_certificate_does_not_hold_is_not_trusted(
    pki, tmp_path, monkeypatch, days, says
):
    ca = make_ca("a CA of old", window(-10, 10))
    here = [x509.IPAddress(ipaddress.ip_address(LOCALHOST))]
    made = issue(ca, "kme", window(*days), ExtendedKeyUsageOID.SERVER_AUTH, here)
    certificate, key = write(tmp_path, "kme", made)
    ca_file, _ = write(tmp_path, "ca", ca)
    config = make_config(pki)
    kmes = tuple(k.model_copy(update={"certificate": certificate, "key": key}) for k in config.kme)
    with pytest.raises(KmeCertificateError, match="clock says"):
        server.server_context(kmes[0])
    monkeypatch.setattr(tls, "check_window", lambda *_: None)
    network = Network(config.model_copy(update={"kme": kmes}))
    with server.serving(network) as served:
        error = refused(World(network, served.urls, pki), ca=ca_file)
    assert type(error) is KmeCertificateError
    assert says in str(error)


@pytest.mark.parametrize(
    ("days", "says"), [((-9, -1), "expired on"), ((1, 9), "is not valid before")]
)
def test_our_own_certificate_is_looked_at_before_anything_is_sent(world, tmp_path, days, says):
    ca = make_ca("a CA", window(-10, 10))
    made = issue(ca, "alice", window(*days), ExtendedKeyUsageOID.CLIENT_AUTH)
    certificate, key = write(tmp_path, "alice", made)
    error = refused(world, certificate=certificate, key=key, kme_url="https://127.0.0.1:1")
    assert type(error) is KmeCertificateError
    assert says in str(error)
    assert "clock says" in str(error)


def test_a_kme_refuses_what_it_does_not_trust(world, strangers, tmp_path, monkeypatch, pki):
    monkeypatch.setattr(tls, "check_window", lambda *_: None)
    ca = make_ca("a CA", window(-10, 10))
    expired = issue(ca, "alice", window(-9, -1), ExtendedKeyUsageOID.CLIENT_AUTH)
    for certificate, key in [
        strangers.certificates["alice"],
        pki.certificates["kme-b"],  # a server's certificate is none for a client
        write(tmp_path, "alice", expired),
    ]:
        error = refused(world, certificate=certificate, key=key)
        # over TLS 1.3 the refusal may be overtaken by the closing of the connection
        assert type(error) in (KmeCertificateError, KmeUnreachableError)
        assert "our certificate" in str(error)


def test_files_that_are_no_use_are_named(world, tmp_path):
    certificate, key = world.pki.certificates["alice"]
    _, other_key = world.pki.certificates[STRANGER]
    text = tmp_path / "text.pem"
    text.write_text("hello")
    locked = tmp_path / "locked.key"
    encrypted = read_private_key(key).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"password")
    )
    locked.write_bytes(encrypted)
    for changed, says in [
        ({"key": other_key}, "is not the private key of the certificate"),
        ({"key": locked}, "is encrypted"),
        ({"key": text}, "holds no private key"),
        ({"key": certificate}, "holds no private key"),
        ({"certificate": text}, "holds no certificate"),
        ({"certificate": key}, "holds no certificate"),
        ({"ca": text}, "holds no certificate"),
        ({"ca": tmp_path / "none"}, "No such file"),
        ({"certificate": tmp_path}, "Is a directory"),
    ]:
        error = refused(world, **changed)
        assert type(error) is KmeCertificateError
        assert says in str(error)


def test_a_port_that_does_not_speak_tls_is_named(world):
    def talk() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    with server.socket.create_server((LOCALHOST, 0)) as listener:
        thread = threading.Thread(target=talk)
        thread.start()
        error = refused(world, kme_url=f"https://{LOCALHOST}:{listener.getsockname()[1]}")
        thread.join()
    assert type(error) is KmeCertificateError
    assert "does not speak TLS" in str(error)


def test_a_taken_port_is_named(pki, world):
    port = int(world.urls["kme-a"].rpartition(":")[2])
    config = make_config(pki)
    kmes = (config.kme[0].model_copy(update={"port": port}), config.kme[1])
    network = Network(config.model_copy(update={"kme": kmes}))
    with (
        pytest.raises(KmeError, match=f"cannot listen on 127.0.0.1:{port}"),
        server.serving(network),
    ):
        pass


@pytest.mark.parametrize(
    ("name", "alternative", "sae"),
    [
        ("alice", None, "alice"),
        ("x", "carol", "carol"),
        ("alice", "x", "alice"),
        ("x", "y", None),
        ("alice", "carol", None),
    ],
)
def test_an_application_is_who_its_certificate_says_if_that_is_one(pki, name, alternative, sae):
    kme = make_config(pki).kme[0].model_copy(update={"saes": ("alice", "carol")})
    names = [x509.DNSName(alternative)] if alternative else []
    ca = make_ca("a CA", window(-1, 1))
    made = issue(ca, name, window(-1, 1), ExtendedKeyUsageOID.CLIENT_AUTH, names)
    certificate = made.certificate.public_bytes(Encoding.DER)
    if sae:
        assert sae_of(certificate, kme) == sae
    else:
        with pytest.raises(UnauthorizedError):
            sae_of(certificate, kme)


def test_nobody_is_nobody(pki):
    with pytest.raises(UnauthorizedError):
        sae_of(None, make_config(pki).kme[0])
