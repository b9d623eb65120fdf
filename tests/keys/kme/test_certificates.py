"""Certificates that are wrong, expired or mismatched, on either side, end in one clear line."""

import datetime
import ssl
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)
from faults import Faults
from kme_network import STRANGER, World, make_config
from trustme import CA

from fedket.keys.etsi014 import tls
from fedket.keys.etsi014.errors import KmeCertificateError, KmeError, KmeUnreachableError
from fedket.keys.etsi014.tls import client_context, read_private_key, utc_now
from fedket.keys.kme import server
from fedket.keys.kme.certificates import write_certificates
from fedket.keys.kme.pools import KeyPools, RefusedError
from fedket.keys.kme.service import sae_of

LOCALHOST = "127.0.0.1"


def issued(directory, name, start_days, end_days, *hosts):
    """Files of a certificate that holds for some days from now, its key, and its CA."""
    ca, now = CA(), utc_now()
    made = ca.issue_cert(
        *hosts,
        common_name=name,
        not_before=now + datetime.timedelta(start_days),
        not_after=now + datetime.timedelta(end_days),
    )
    files = directory / f"{name}.crt", directory / f"{name}.key", directory / "ca.crt"
    for path, pem in zip(
        files, (made.cert_chain_pems[0], made.private_key_pem, ca.cert_pem), strict=True
    ):
        pem.write_to_path(path)
    return files


def refused(world: World, **changed: object) -> KmeError:
    with pytest.raises(KmeError) as error, world.client("alice", **changed) as kme:
        kme.status("bob")
    assert "\n" not in str(error.value)
    return error.value


@pytest.fixture(scope="module")
def strangers(tmp_path_factory):
    return write_certificates(tmp_path_factory.mktemp("strangers"), ["kme-a"], ["alice"])


def test_both_sides_want_tls_1_2_and_a_certificate(world):
    ours = client_context(world.sae("alice"))
    theirs = server.server_context(world.pools.config.kme[0])
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
    certificate, key, ca = issued(tmp_path, "kme", *days, LOCALHOST)
    config = make_config(pki)
    kmes = tuple(k.model_copy(update={"certificate": certificate, "key": key}) for k in config.kme)
    with pytest.raises(KmeCertificateError, match="clock says"):
        server.server_context(kmes[0])
    monkeypatch.setattr(tls, "check_window", lambda *_: None)
    pools = KeyPools(config.model_copy(update={"kme": kmes}))
    with server.serving(pools) as served:
        error = refused(World(pools, Faults(), served.urls, pki), ca=ca)
    assert type(error) is KmeCertificateError
    assert says in str(error)


@pytest.mark.parametrize(
    ("days", "says"), [((-9, -1), "expired on"), ((1, 9), "is not valid before")]
)
def test_our_own_certificate_is_looked_at_before_anything_is_sent(world, tmp_path, days, says):
    certificate, key, _ = issued(tmp_path, "alice", *days)
    error = refused(world, certificate=certificate, key=key, kme_url="https://127.0.0.1:1")
    assert type(error) is KmeCertificateError
    assert says in str(error)
    assert "clock says" in str(error)


def test_a_kme_refuses_what_it_does_not_trust(world, strangers, tmp_path, monkeypatch):
    monkeypatch.setattr(tls, "check_window", lambda *_: None)
    expired = issued(tmp_path, "alice", -9, -1)[:2]
    for certificate, key in [strangers.certificates["alice"], expired]:
        error = refused(world, certificate=certificate, key=key)
        # over TLS 1.3 the refusal may be overtaken by the closing of the connection
        assert type(error) in (KmeCertificateError, KmeUnreachableError)
        assert "our certificate" in str(error)


def test_a_certificate_of_the_right_ca_that_names_a_kme_or_nobody_is_no_applications(world, pki):
    for name in ("kme-b", STRANGER):
        certificate, key = pki.certificates[name]
        error = refused(world, certificate=certificate, key=key)
        assert "401 unauthorized" in str(error)


def test_an_applications_certificate_passes_for_no_kme(pki):
    config = make_config(pki)
    certificate, key = pki.certificates["alice"]
    kmes = tuple(k.model_copy(update={"certificate": certificate, "key": key}) for k in config.kme)
    pools = KeyPools(config.model_copy(update={"kme": kmes}))
    with server.serving(pools) as served:
        error = refused(World(pools, Faults(), served.urls, pki))
    assert type(error) is KmeCertificateError


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
    pools = KeyPools(config.model_copy(update={"kme": kmes}))
    with (
        pytest.raises(KmeError, match=f"cannot listen on 127.0.0.1:{port}"),
        server.serving(pools),
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
    made = CA().issue_cert(*([alternative] if alternative else []), common_name=name)
    pem = made.cert_chain_pems[0].bytes()
    certificate = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    if sae:
        assert sae_of(certificate, kme) == sae
    else:
        with pytest.raises(RefusedError, match="401"):
            sae_of(certificate, kme)


def test_nobody_is_nobody(pki):
    with pytest.raises(RefusedError, match="401"):
        sae_of(None, make_config(pki).kme[0])
