"""What key managers answer and are asked: no answer is used in part, no request ends one."""

import asyncio
import base64
import json

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from fedket.keys.etsi014.agreement import Announce, Confirm, read_message
from fedket.keys.etsi014.answers import Reply, read_chosen_keys, read_keys, read_status
from fedket.keys.etsi014.models import API
from fedket.keys.kme.app import create_app
from fedket.keys.kme.certificates import write_certificates
from fedket.keys.kme.config import KmeConfig
from fedket.keys.kme.pools import KeyPools
from tests.fuzz.garbage import TOKENS, Garbage, refused

SEEDS = st.integers(0, 2**63 - 1)
IDS = ("550e8400-e29b-41d4-a716-44665544000a", "550e8400-e29b-41d4-a716-44665544000b")
KEYS = {"keys": [{"key_ID": i, "key": base64.b64encode(i[:16].encode()).decode()} for i in IDS]}
STATUS = {
    "source_KME_ID": "kme-a",
    "target_KME_ID": "kme-b",
    "master_SAE_ID": "alice",
    "slave_SAE_ID": "bob",
    "key_size": 256,
    "stored_key_count": 10,
    "max_key_count": 100,
    "max_key_per_request": 10,
    "max_key_size": 1024,
    "min_key_size": 64,
    "max_SAE_ID_count": 0,
}
READERS = {
    "status": (STATUS, lambda reply: read_status(reply, "KME")),
    "enc_keys": (KEYS, lambda reply: read_keys(reply, "KME", 2, 128)),
    "dec_keys": (KEYS, lambda reply: read_chosen_keys(reply, "KME", IDS[::-1], 128)),
    "refusal": ({"message": "no"}, lambda reply: read_keys(reply, "KME", 2, 128)),
}


@pytest.mark.parametrize("call", READERS)
@given(seed=SEEDS)
def test_answers(call, seed):
    garbage, (true, read) = Garbage(seed), READERS[call]
    codes = (400, 401, 503, 500, 301) if call == "refusal" else (200,)
    body = garbage.json(json.dumps(true).encode())
    media = garbage.choice(("application/json", "application/json", "text/html", ""))
    with refused():
        found = read(Reply(garbage.choice(codes), media, "", body))
        assert call in ("status", "enc_keys", "dec_keys")
        assert call == "status" or [len(key.secret) for key in found] == [16, 16]


MESSAGES = {
    Announce: {"stream": [0, 1], "start": 64, "key_ids": list(IDS), "size_bits": 256},
    Confirm: {"batch": IDS[0], "deposited": True, "end": 64, "problem": ""},
}


@pytest.mark.parametrize("kind", MESSAGES)
@given(seed=SEEDS)
def test_messages_about_batches(kind, seed):
    content = json.dumps(MESSAGES[kind] | {"stream": [0, 1]}).encode()
    with refused():
        read_message(kind, Garbage(seed).json(content))


@pytest.fixture(scope="module")
def kme(tmp_path_factory):
    """An application of two SAEs, and the certificates that its callers show."""
    files = write_certificates(tmp_path_factory.mktemp("pki"), ["kme"], ["alice", "bob", "mallory"])
    certificate, key = files.certificates["kme"]
    section = {"id": "kme", "ca": files.ca, "certificate": certificate, "key": key}
    config = KmeConfig.model_validate(
        {
            "kme": (section | {"saes": ("alice", "bob")},),
            "link": ({"saes": ("alice", "bob"), "rate_bps": 1e9},),
        }
    )
    shown = {
        name: x509.load_pem_x509_certificate(own.read_bytes()).public_bytes(Encoding.DER)
        for name, (own, _) in files.certificates.items()
    }
    return create_app(config.kme[0], KeyPools(config)), shown


def ask(app, certificate, method, path, headers, body):
    """The status of the answer to a request."""
    answers = []

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        answers.append(message)

    path, _, query = path.partition(b"?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "scheme": "https",
        "path": path.decode("ascii"),
        "raw_path": path,
        "query_string": query,
        "headers": headers,
        "state": {"peer_certificate": certificate},
    }
    asyncio.run(app(scope, receive, send))
    return answers[0]["status"]


PATHS = (
    f"{API}/bob/status",
    f"{API}/bob/enc_keys?number=2&size=256",
    f"{API}/alice/dec_keys?key_ID={IDS[0]}",
)
BODIES = (
    {"number": 2, "size": 256},
    {"key_IDs": [{"key_ID": i} for i in IDS]},
    {"additional_slave_SAE_IDs": ["bob"], "extension_mandatory": [{"x": 1}]},
)


@given(seed=SEEDS)
def test_requests(kme, seed):
    (app, shown), garbage = kme, Garbage(seed)
    path, body = garbage.choice(PATHS).encode(), json.dumps(garbage.choice(BODIES)).encode()
    if garbage.random() < 0.5:
        path = bytes(c for c in garbage.content(path) if 0x21 <= c <= 0x7E) or b"/"
    body = garbage.json(body)
    length = garbage.choice((str(len(body)).encode(),) * 3 + TOKENS)
    headers = [(b"content-type", b"application/json"), (b"content-length", length)]
    method = garbage.choice(("GET", "POST", "POST", "DELETE"))
    status = ask(app, garbage.choice(list(shown.values())), method, path, headers, body)
    assert status in (200, 400, 401, 503)
    fine = ask(app, shown["alice"], "GET", PATHS[0].encode(), [], b"")
    assert fine == 200


def test_a_length_of_thousands_of_digits_is_refused(kme):
    headers = [(b"content-length", b"9" * 5000)]
    assert ask(kme[0], kme[1]["alice"], "POST", PATHS[1].encode(), headers, b"{}") == 400
