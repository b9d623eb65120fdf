"""Key providers that speak SKIP: from the doctor to the same bytes in two pad stores."""

import contextlib
from urllib.parse import parse_qsl

import pytest
from fastapi.responses import JSONResponse
from kme_network import World, make_config

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
