"""Every way in which a KME may misbehave ends in one clear line, and no bad key gets through."""

import base64
import socket
import ssl
import time
import traceback
from contextlib import contextmanager, suppress
from itertools import product
from threading import Thread

import httpx
import pytest
from faults import FAULTS
from kme_network import QUICK_S

from fedket.keys.etsi014.client import exchange, open_http
from fedket.keys.etsi014.errors import (
    KmeAnswerError,
    KmeBusyError,
    KmeError,
    KmeRefusedError,
    KmeUnauthorizedError,
    KmeUnreachableError,
)
from fedket.keys.etsi014.models import API
from fedket.keys.etsi014.tls import client_context

ON_EVERY_CALL = {
    "html": (KmeAnswerError, "got text/html instead of JSON"),
    "html_401": (KmeUnauthorizedError, "401 unauthorized"),
    "unavailable": (KmeBusyError, '503 "the quantum link is down (simulated)"'),
    "hang": (KmeUnreachableError, f"within {QUICK_S:g} s"),
}
ON_KEYS = {
    "short_keys": (KmeAnswerError, "has 248 bits, 256 were asked for"),
    "duplicate_keys": (KmeAnswerError, "a key_ID came twice"),
    "bad_base64": (KmeAnswerError, "is not base64"),
    "drop_reply": (KmeUnreachableError, "the connection broke"),
}
FEWER = {"fewer_keys": (KmeAnswerError, "asked for 3 keys by their key_IDs, got 2")}


def provoke(world, call: str, fault: str) -> KmeError:
    """Make a call that meets the fault and return what it raises."""
    timeout_s = QUICK_S if fault == "hang" else 20.0
    with (
        world.client("alice") as master,
        world.client("alice" if call != "dec_keys" else "bob", timeout_s=timeout_s) as kme,
    ):
        key_ids = [key.key_id for key in master.enc_keys("bob", 3, 256)]
        world.inject(fault, calls=(call,))
        attempts = {
            "status": lambda: kme.status("bob"),
            "enc_keys": lambda: kme.enc_keys("bob", 3, 256),
            "dec_keys": lambda: kme.dec_keys("alice", key_ids, 256),
        }
        with pytest.raises(KmeError) as error:
            attempts[call]()
    return error.value


@pytest.mark.parametrize(
    ("call", "fault"),
    [
        *product(["status", "enc_keys", "dec_keys"], ON_EVERY_CALL),
        *product(["enc_keys", "dec_keys"], ON_KEYS),
        ("dec_keys", "fewer_keys"),
    ],
)
def test_a_fault_is_one_line_that_names_the_kme_the_call_and_what_arrived(world, call, fault):
    error = provoke(world, call, fault)
    kind, says = (ON_EVERY_CALL | ON_KEYS | FEWER)[fault]
    assert type(error) is kind
    assert says in str(error)
    assert str(error).startswith(f"KME {world.urls['kme-b' if call == 'dec_keys' else 'kme-a']}")
    assert call in str(error)
    assert "\n" not in str(error)


def test_another_kme_than_expected_is_noticed_before_any_key_is_asked_for(world):
    world.inject("wrong_kme_id")
    with world.client("alice") as kme, pytest.raises(KmeAnswerError, match="`not-kme-a`, expected"):
        kme.status("bob")


def test_the_same_answer_again_is_noticed(world):
    world.inject("repeated_keys")
    with world.client("alice") as kme:
        kme.enc_keys("bob", 2, 256)
        with pytest.raises(KmeAnswerError, match="a key_ID came that an earlier answer had"):
            kme.enc_keys("bob", 2, 256)


def test_a_kme_may_forget_what_was_not_fetched(world):
    world.inject("forget_unfetched")
    with world.client("alice") as alice, world.client("bob") as bob:
        first, second = (alice.enc_keys("bob", 1, 256)[0].key_id for _ in range(2))
        with pytest.raises(KmeRefusedError, match="not found"):
            bob.dec_keys("alice", [first], 256)
        assert bob.dec_keys("alice", [second], 256)


def test_keys_leave_the_pool_although_the_answer_is_lost(world):
    with world.client("alice") as kme:
        before = kme.status("bob").stored_key_count
        world.inject("drop_reply", calls=("enc_keys",))
        with pytest.raises(KmeUnreachableError):
            kme.enc_keys("bob", 3, 256)
        assert kme.status("bob").stored_key_count == before - 3


def test_every_fault_is_provoked_by_some_test():
    elsewhere = {"wrong_kme_id", "repeated_keys", "forget_unfetched"}
    assert set(FAULTS) == {*ON_EVERY_CALL, *ON_KEYS, *FEWER, *elsewhere}


@pytest.mark.parametrize("call", ["enc_keys", "dec_keys"])
@pytest.mark.parametrize("fault", ["short_keys", "bad_base64", "duplicate_keys"])
def test_no_error_shows_key_bytes(world, monkeypatch, call, fault):
    made, deliver = [], world.pools.deliver

    def recorded(*asked):
        made.extend(deliver(*asked))
        return tuple(made[-asked[2] :])

    monkeypatch.setattr(world.pools, "deliver", recorded)
    shown = "".join(traceback.format_exception(provoke(world, call, fault)))
    assert len(made) >= 3
    for secret in (key.secret.reveal() for key in made):
        disguises = [secret.hex()[:12], repr(secret)[2:12], base64.b64encode(secret).decode()[1:13]]
        assert not any(disguise in shown for disguise in disguises)


def test_a_closed_port_asks_whether_the_kme_is_running(world):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with (
        world.client("alice", kme_url=f"https://127.0.0.1:{port}") as kme,
        pytest.raises(KmeUnreachableError, match=r"cannot connect .* is the KME running"),
    ):
        kme.status("bob")


def test_a_silent_port_ends_in_a_timeout(world):
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        world.client(
            "alice", kme_url=f"https://127.0.0.1:{silent.getsockname()[1]}", timeout_s=QUICK_S
        ) as kme,
        pytest.raises(KmeUnreachableError, match=f"within {QUICK_S:g} s"),
    ):
        kme.status("bob")


def pretended(world, **answer: object):
    """Ask a pretended server; returns a function that does it."""
    config = world.sae("alice", timeout_s=0.05)
    transport = httpx.MockTransport(lambda request: httpx.Response(200, **answer))
    http = httpx.Client(base_url=config.kme_url, transport=transport)
    return lambda: exchange(http, config, "KME", "GET", f"{API}/bob/status")


def drip():
    while True:
        time.sleep(0.01)
        yield b" "


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        ({"stream": httpx.ByteStream(b" " * 70_000)}, KmeAnswerError, "longer than 65536 bytes"),
        ({"content": (b" " * 1000 for _ in range(10**9))}, KmeAnswerError, "longer than"),
        (
            {"headers": {"Content-Encoding": "br"}, "stream": httpx.ByteStream(b"x")},
            KmeAnswerError,
            "compressed",
        ),
        ({"content": drip()}, KmeUnreachableError, "not complete after 0.05 s"),
    ],
    ids=["long", "endless", "compressed", "dripping"],
)
def test_an_answer_that_does_not_end_well_is_given_up(world, answer, kind, says):
    with pytest.raises(kind, match=says):
        pretended(world, **answer)()


@contextmanager
def dripping(world, pieces):
    """A server that sends an answer in pieces, one every 20 ms; yields its port."""
    certificate, key = world.pki.certificates["kme-a"]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    def serve():
        with suppress(OSError), context.wrap_socket(server.accept()[0], server_side=True) as taken:
            for piece in pieces:
                taken.sendall(piece)
                time.sleep(0.02)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        thread.join()


def test_headers_that_drip_are_given_up_at_the_deadline_of_the_call(world):
    pieces = [b"HTTP/1.1 200 OK\r\n", *(b"X-%d: y\r\n" % i for i in range(100))]
    with (
        dripping(world, pieces) as port,
        world.client(
            "alice", kme_url=f"https://127.0.0.1:{port}", timeout_s=QUICK_S, server_name="localhost"
        ) as kme,
        pytest.raises(KmeUnreachableError, match=f"no answer within {QUICK_S:g} s"),
    ):
        kme.status("bob")


@pytest.mark.parametrize(
    "half",
    [
        b"",
        b"POST /api/v1/keys/bob/enc_keys HTTP/1.1\r\n",
        b"POST /api/v1/keys/bob/enc_keys HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n{",
    ],
)
def test_a_kme_hangs_up_on_who_does_not_finish_a_request(world, monkeypatch, half):
    monkeypatch.setattr("fedket.keys.kme.server.REQUEST_S", 0.3)
    url = httpx.URL(world.urls["kme-a"])
    context = client_context(world.sae("alice"))
    with (
        socket.create_connection((url.host, url.port)) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as tls,
    ):
        tls.settimeout(20)
        for byte in half:
            tls.send(bytes([byte]))
        with suppress(ConnectionError):
            assert tls.recv(100) == b""
    with world.client("alice") as kme:
        assert kme.status("bob")


def test_a_fault_is_over_when_it_is_over(world):
    world.inject("html", "hang", "drop_reply", calls=("enc_keys",))
    with world.client("alice") as kme:
        kme.status("bob")
        world.inject()
        assert kme.enc_keys("bob", 1, 256)


def test_the_environment_and_redirects_lead_nowhere(world, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("SSL_CERT_FILE", "/none")
    with world.client("alice") as kme:
        assert kme.status("bob")
    with open_http(world.sae("alice")) as http:
        assert not http.follow_redirects
