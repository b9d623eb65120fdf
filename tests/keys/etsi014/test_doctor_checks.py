"""What the doctor makes of what was gathered."""

import datetime
import email.utils
from pathlib import Path

import pytest
from cryptography import x509
from lossy_link import status
from trustme import CA

from fedket.keys.etsi014.doctor import (
    Sample,
    check_date,
    check_issuer,
    check_limits,
    check_permissions,
    check_rate,
    check_sae_id,
    check_validity,
)
from fedket.keys.etsi014.tls import utc_now

NOW = datetime.datetime(2030, 6, 1, 12, tzinfo=datetime.UTC)
FILE = Path("alice.crt")


def days(count: float) -> datetime.datetime:
    return NOW + datetime.timedelta(days=count)


@pytest.fixture(scope="module")
def ca():
    return CA()


def issued(ca, start, end):
    made = ca.issue_cert(common_name="alice", not_before=days(start), not_after=days(end))
    return x509.load_pem_x509_certificate(made.cert_chain_pems[0].bytes())


def own(ca):
    return x509.load_pem_x509_certificate(ca.cert_pem.bytes())


@pytest.mark.parametrize(
    ("start", "end", "outcome", "says"),
    [
        (-10, 60, "ok", "until 2030-07-31"),
        (-10, 3, "note", "renew it soon"),
        (-10, -1, "fail", "expired on 2030-05-31"),
        (1, 60, "fail", "not valid before 2030-06-02"),
    ],
)
def test_a_certificate_holds_now_or_the_clock_is_named(ca, start, end, outcome, says):
    certificate = issued(ca, start, end)
    check = check_validity(certificate, FILE, NOW)
    assert check.outcome == outcome
    assert says in check.found
    if outcome == "fail":
        assert "clock says 2030-06-01 12:00 UTC" in check.found


def test_the_certificate_names_the_application(ca):
    certificate = issued(ca, -1, 1)
    assert check_sae_id(certificate, "alice").outcome == "ok"
    other = check_sae_id(certificate, "bob")
    assert other.outcome == "note"
    assert "names `alice`" in other.found
    assert check_issuer(certificate, [own(ca)]).outcome == "ok"
    stranger = own(CA())
    assert check_issuer(certificate, [stranger]).outcome == "note"
    assert check_issuer(certificate, [stranger, own(ca)]).outcome == "ok"


@pytest.mark.parametrize(
    ("offset_s", "outcome"), [(0, "ok"), (-4, "ok"), (20, "note"), (-3600, "fail"), (90, "fail")]
)
def test_clocks_are_compared(offset_s, outcome):
    theirs = NOW + datetime.timedelta(seconds=offset_s)
    check = check_date(email.utils.format_datetime(theirs, usegmt=True), NOW, NOW)
    assert check.outcome == outcome
    if outcome != "ok":
        assert ("ahead" if offset_s > 0 else "behind") in check.found


@pytest.mark.parametrize("at_s", [0, 300, 600])
def test_a_slow_call_does_not_set_the_clocks_apart(at_s):
    date = email.utils.format_datetime(NOW + datetime.timedelta(seconds=at_s), usegmt=True)
    assert check_date(date, NOW, NOW + datetime.timedelta(seconds=600)).outcome == "ok"


@pytest.mark.parametrize(
    "date", ["", "yesterday", "32 Jan 2030 99:00:00 GMT", "1 Jun 2030 12:00:00"]
)
def test_a_missing_date_is_no_failure(date):
    assert check_date(date, utc_now(), utc_now()).outcome == "note"


def test_a_private_key_that_others_may_read_is_noted():
    assert check_permissions(FILE, 0o100600).outcome == "ok"
    assert "chmod 600" in check_permissions(FILE, 0o100640).found


@pytest.mark.parametrize(
    ("need", "outcome", "says"),
    [
        (0, "ok", "holds up to 16000 bytes"),
        (100, "ok", "a round's 100 bytes take 3 calls"),
        (16, "ok", "take 1 call;"),
        (16_001, "fail", "never holds more than 16000"),
    ],
)
def test_limits_are_set_against_what_a_round_needs(need, outcome, says):
    check = check_limits("bob", status(), need)
    assert check.outcome == outcome
    assert says in check.found


@pytest.mark.parametrize(
    ("before", "after", "need", "outcome", "says"),
    [
        (10, 20, 100.0, "ok", "about 128 bit/s"),
        (10, 20, 140.0, "ok", "seen to 13 bit/s"),
        (10, 20, 142.0, "fail", "142 are needed"),
        (20, 10, 0.0, "note", "shrank"),
        (10, 10, 0.0, "note", "is the link up?"),
        (10, 10, 50.0, "fail", "about 0 bit/s"),
        (10, 1000, 1e9, "ok", "full"),
    ],
)
def test_a_rate_is_seen_from_two_looks(before, after, need, outcome, says):
    first = Sample(status(stored_key_count=before), 100.0)
    check = check_rate("bob", first, Sample(status(stored_key_count=after), 110.0), need)
    assert check.outcome == outcome
    assert says in check.found
