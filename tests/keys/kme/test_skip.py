"""Key providers that speak SKIP: from the doctor to the same bytes in two pad stores."""

import contextlib
import ssl
from urllib.parse import parse_qsl

import pytest
from fastapi.responses import JSONResponse
from kme_network import World, make_config
from psk_provider import providing

from fedket.keys.etsi014.config import SaeConfig
from fedket.keys.etsi014.doctor import examine
from fedket.keys.etsi014.errors import KmeAnswerError, KmeBusyError, KmeRefusedError
from fedket.keys.etsi014.fetch import MasterEnd, SlaveEnd
from fedket.keys.kme.pools import KeyPools, RefusedError
from fedket.keys.kme.server import serving
from fedket.keys.kme.service import sae_of
from fedket.keys.store import PadStore

STREAM = (0, 1)


class Providers:
    """Key providers over the pools of our KMEs; `said` replaces parts of their capabilities."""

    said: dict = {}  # noqa: RUF012

    def application(self, kme, pools):
        async def provide(scope, receive, send):
            me = sae_of(scope["state"]["peer_certificate"], kme)
            query = dict(parse_qsl(scope["query_string"].decode()))
            answer = self.answer(pools, me, scope["path"], query)
            await answer(scope, receive, send)

        return provide

    def answer(self, pools, me, path, query):
        if path == "/capabilities":
            names = {"localSystemID": me, "remoteSystemID": ["BOB", "al*"], "algorithm": "QKD"}
            return JSONResponse({"entropy": True, "key": True} | names | self.said)
        peer, size_bits = query["remoteSystemID"], int(query.get("size", "256"))
        with contextlib.suppress(RefusedError):
            if path == "/key":
                (key,) = pools.deliver(me, (peer,), 1, size_bits)
            else:
                (key,) = pools.collect(peer, me, (path.rpartition("/")[2],))
            return JSONResponse({"keyId": key.key_id, "key": key.secret.reveal().hex().upper()})
        return JSONResponse({"error": "no such key"}, 404)


@pytest.fixture(scope="module")
def network(pki):
    pools, providers = KeyPools(make_config(pki)), Providers()
    with serving(pools, providers.application) as served:
        yield World(pools, providers, served.urls, pki), providers


def ways(name, **changed):
    return {"protocol": "skip", "kme_id": "", "peers": (name,)} | changed


@pytest.mark.parametrize("bits", [0, 512])
def test_the_doctor_is_content_and_both_ends_get_the_same_keys(network, tmp_path, bits):
    world, _ = network
    checks = list(examine(world.sae("alice", **ways("bob", key_bits=bits)), 0.0, try_one_key=True))
    assert [c for c in checks if c.outcome == "fail"] == []
    assert f"came, {bits or 256} bits" in checks[-1].found
    with (
        world.client("alice", **ways("bob", key_bits=bits)) as alice,
        world.client("bob", **ways("alice", key_bits=bits)) as bob,
        PadStore.open(tmp_path / "0", 0) as ours,
        PadStore.open(tmp_path / "1", 1) as theirs,
    ):
        slave = SlaveEnd(STREAM, bob, "alice", theirs)
        assert MasterEnd(STREAM, alice, "bob", slave.answer, ours).fetch(640) == 640
        assert ours.deposits() == theirs.deposits()


@pytest.mark.parametrize(
    ("said", "says"),
    [
        ({"key": False}, "gives no keys, only entropy"),
        ({"localSystemID": "eve"}, "the provider is `eve`, expected `alice`"),
        ({"remoteSystemID": ["c*"]}, r"reaches c\*, not `bob`"),
    ],
)
def test_a_provider_that_cannot_serve_is_named(network, monkeypatch, said, says):
    world, providers = network
    monkeypatch.setattr(providers, "said", said)
    with world.client("alice", **ways("bob")) as kme, pytest.raises(KmeAnswerError, match=says):
        kme.status("bob")


def test_a_shortage_is_waited_for_and_an_unknown_key_may_come(network):
    world, _ = network
    with world.client("alice", **ways("bob")) as kme:
        with pytest.raises(KmeBusyError, match="404"):
            kme.enc_keys("bob", 1, 1 << 20)
        with pytest.raises(KmeRefusedError, match=r'404 "no such key"; .* or not yet'):
            kme.dec_keys("bob", ["00"], 256)


@pytest.fixture
def shared(tmp_path):
    """What an application with a pre-shared key says."""
    (tmp_path / "psk").write_text("0f" * 32)
    (tmp_path / "psk").chmod(0o600)
    return {"protocol": "skip", "psk": tmp_path / "psk", "sae_id": "alice", "peers": ("bob",)}


@pytest.mark.skipif(not hasattr(ssl, "HAS_PSK"), reason="TLS with pre-shared keys needs 3.13")
def test_who_has_the_pre_shared_key_gets_keys_and_nobody_else(shared):
    with providing("alice", bytes.fromhex("0f" * 32)) as url:
        config = SaeConfig.model_validate(shared | {"kme_url": url})
        checks = list(examine(config, 0.0, try_one_key=True))
        assert [c for c in checks if c.outcome == "fail"] == []
        assert checks[-1].found.startswith("came, 256 bits")
        shared["psk"].write_text("0e" * 32)
        (failed,) = [c for c in examine(config, 0.0) if c.outcome == "fail"]
        assert "another pre-shared key" in failed.found


@pytest.mark.skipif(hasattr(ssl, "HAS_PSK"), reason="this Python has pre-shared keys")
def test_a_python_without_pre_shared_keys_says_what_to_do(shared):
    (check, *_) = examine(SaeConfig.model_validate(shared | {"kme_url": "https://provider"}), 0.0)
    assert (check.name, check.outcome) == ("files", "fail")
    assert "takes Python 3.13, this is 3.1" in check.found


def test_a_pre_shared_key_is_for_skip_and_read_with_care(shared):
    values = shared | {"kme_url": "https://provider"}
    with pytest.raises(ValueError, match="`psk` alone"):
        SaeConfig.model_validate(values | {"protocol": "etsi014"})
    shared["psk"].write_text("a secret")
    (check, *_) = examine(SaeConfig.model_validate(values), 0.0)
    assert "16 to 64 bytes in hexadecimal" in check.found
    assert "a secret" not in check.found
