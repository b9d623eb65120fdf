"""Certificates for a trial: complete, private, never overwritten."""

import datetime
import stat

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from fedket.keys.etsi014.config import SaeConfig
from fedket.keys.etsi014.errors import KmeCertificateError
from fedket.keys.etsi014.tls import (
    check_pair,
    names_of,
    read_certificate,
    read_private_key,
    utc_now,
)
from fedket.keys.kme.certificates import write_certificates
from fedket.keys.kme.config import KmeConfig
from fedket.keys.kme.trial import write_trial
from fedket.schema import read_table

ODD = "site 7/östlich %"


def test_every_certificate_comes_from_the_ca_names_its_owner_and_matches_its_key(tmp_path):
    pki = write_certificates(
        tmp_path / "pki", ["kme-1"], ["alice", ODD], hosts=["kme.example", "10.0.0.7"]
    )
    ca = read_certificate(pki.ca)
    assert set(pki.certificates) == {"kme-1", "alice", ODD}
    for name, (path, key) in pki.certificates.items():
        certificate = read_certificate(path)
        certificate.verify_directly_issued_by(ca)
        check_pair(certificate, read_private_key(key), key)
        assert name in names_of(certificate)
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert {path.name for path in pki.ca.parent.glob("*ca*")} == {"ca.crt"}  # never its key
    for name in pki.certificates:  # as clients, also for those who want some alternative name
        extensions = read_certificate(pki.certificates[name][0]).extensions
        usage = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        assert ExtendedKeyUsageOID.CLIENT_AUTH in usage
        assert list(extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    server = read_certificate(pki.certificates["kme-1"][0])
    san = server.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert san.get_values_for_type(x509.DNSName) == ["kme.example"]
    assert [str(ip) for ip in san.get_values_for_type(x509.IPAddress)] == ["10.0.0.7"]


def test_certificates_hold_for_the_days_asked_for(tmp_path):
    pki = write_certificates(tmp_path, ["kme-1"], ["alice"], days=3)
    alice = read_certificate(pki.certificates["alice"][0])
    assert alice.not_valid_before_utc < utc_now()
    assert utc_now() < alice.not_valid_after_utc < utc_now() + datetime.timedelta(days=3)


def test_nothing_is_overwritten(tmp_path):
    write_certificates(tmp_path, ["kme-1"], ["alice"])
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(KmeCertificateError, match="not overwritten"):
        write_certificates(tmp_path, ["kme-1"], ["bob"])
    assert before.items() <= {path: path.read_bytes() for path in tmp_path.iterdir()}.items()


@pytest.mark.parametrize(
    ("kmes", "saes", "hosts", "says"),
    [
        (["kme"], ["alice", "alice"], ["localhost"], "given twice"),
        (["kme"], ["kme"], ["localhost"], "given twice"),
        (["kme"], ["CA"], ["localhost"], "cannot name"),
        (["kme"], [""], ["localhost"], "cannot name"),
        (["kme"], ["x" * 65], ["localhost"], "cannot name"),
        (["kme"], ["a\nb"], ["localhost"], "cannot name"),
        (["kme"], ["alice"], ["a host"], "neither a host name nor an address"),
    ],
)
def test_names_that_do_not_fit_are_refused_before_anything_is_written(
    tmp_path, kmes, saes, hosts, says
):
    with pytest.raises(KmeCertificateError, match=says):
        write_certificates(tmp_path / "pki", kmes, saes, hosts)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("hosts", "url", "listens"),
    [
        ({}, "https://localhost:8441", "127.0.0.1"),
        ({"hosts": ["kme.example", "10.0.0.7"]}, "https://kme.example:8441", "0.0.0.0"),  # noqa: S104
        ({"hosts": ["fd00::7"]}, "https://[fd00::7]:8441", "::"),
    ],
)
def test_a_trial_is_reached_from_other_machines_only_if_its_host_is_named(
    tmp_path, hosts, url, listens
):
    trial = write_trial(tmp_path, ["kme"], ["alice", "bob"], **hosts)
    assert read_table(trial.kme_config, KmeConfig).kme[0].host == listens
    for path in trial.sae_configs.values():
        assert read_table(path, SaeConfig).kme_url == url
