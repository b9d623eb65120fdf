"""KMEs that are not ours: whatever they do within the standard or beside it is understood."""

import pytest
import tomli_w
from foreign import FOREIGN, Foreign, Ways
from kme_network import World, make_config

from fedket.errors import ConfigError
from fedket.keys.etsi014.doctor import examine
from fedket.keys.etsi014.errors import KmeAnswerError, KmeError
from fedket.keys.etsi014.fetch import MasterEnd, SlaveEnd
from fedket.keys.kme.pools import KeyPools
from fedket.keys.kme.server import serving
from fedket.keys.store import KeyPurpose, PadStore

STREAM = (0, 1)


@pytest.fixture(scope="module")
def network(pki):
    """KMEs without faults whose ways are those of `foreign`."""
    pools, foreign = KeyPools(make_config(pki, 10_000)), Foreign()
    with serving(pools, foreign.application) as served:
        yield World(pools, foreign, served.urls, pki), foreign


def told(world, name, settings):
    own = world.sae(name).model_dump()
    changed = {k: v.format(own["kme_url"]) if k == "kme_url" else v for k, v in settings.items()}
    return changed | {"peers": ("bob" if name == "alice" else "alice",)}


@pytest.mark.parametrize("name", FOREIGN)
def test_a_foreign_kme_serves_from_the_doctor_to_full_stores(network, tmp_path, name):
    (world, foreign), (ways, settings) = network, FOREIGN[name]
    foreign.be(ways._replace(short=(), late=()))
    config = world.sae("alice", **told(world, "alice", settings))
    checks = list(examine(config, 0.0, try_one_key=True))
    assert [c for c in checks if c.outcome == "fail"] == []
    assert checks[-1].name == "one key for bob"
    foreign.be(ways)
    slept = []
    with (
        world.client("alice", **told(world, "alice", settings)) as alice,
        world.client("bob", **told(world, "bob", settings)) as bob,
        PadStore.open(tmp_path / "0", 0) as ours,
        PadStore.open(tmp_path / "1", 1) as theirs,
    ):
        slave = SlaveEnd(STREAM, bob, "alice", theirs, [0.1] * 9, slept.append)
        master = MasterEnd(STREAM, alice, "bob", slave.answer, ours, [0.1] * 9, slept.append)
        assert master.fetch(300) >= 300
        assert ours.deposits() == theirs.deposits()
        ours.reserve({STREAM: 256}, KeyPurpose.PAD, "run", 1)
        theirs.accept({STREAM: (0, 256)}, KeyPurpose.PAD, "run", 1)
        one, other = (s.take(STREAM, 0, 256, run="run", round_num=1) for s in (ours, theirs))
        assert one.reveal() == other.reveal()
    assert len(slept) == len(ways.short) + len(ways.late)


@pytest.mark.parametrize(
    ("ways", "settings", "says"),
    [
        (Ways(methods=("GET",)), {}, 'HTTP 405 "Method not allowed" .* try `method = "GET"`'),
        (Ways("/elsewhere"), {}, "HTTP 404 .* check `kme_url`, also the part behind the host"),
        (Ways(one=True), {}, '400 "one size, one key"'),
        (Ways(status={"key_size": None}), {}, "`key_size` is not as prescribed"),
        (Ways(status={"slave_SAE_ID": "eve"}), {}, "slave_SAE_ID is `eve`, expected `bob`"),
        (Ways(), {"key_bits": 2048}, '400 "size shall be from 64 to 1024 bits"'),
    ],
)
def test_what_is_not_understood_is_named_exactly(network, ways, settings, says):
    world, foreign = network
    foreign.be(ways)
    with (
        world.client("alice", **told(world, "alice", settings)) as kme,
        pytest.raises(KmeError, match=says),
    ):
        kme.enc_keys("bob", 2, 8 * (kme.status("bob").max_key_size // 8))


def test_another_size_than_asked_for_is_named_with_what_to_set(network):
    world, foreign = network
    foreign.be(Ways(entry=lambda key_id, key: {"key_ID": key_id, "key": key[:16] + "=="}))
    with world.client("alice") as kme, pytest.raises(KmeAnswerError, match="name it: `key_bits`"):
        kme.enc_keys("bob", 1, 256)


def test_a_link_may_have_a_kme_of_its_own_with_names_of_its_own(network, tmp_path):
    (world, foreign), path = network, tmp_path / "to-hospital-c.toml"
    foreign.be(Ways())
    own = world.sae("alice").model_dump(mode="json", exclude_none=True)
    elsewhere = {"kme_url": "https://127.0.0.1:1", "kme_id": "", "links": {"hospital-c": path}}

    def linked(*peers):
        path.write_text(tomli_w.dumps(own | {"peers": peers}))
        return world.client("alice", sae_id="hospital-a", **elsewhere)

    with linked("bob") as alice, world.client("bob") as bob:
        assert alice.status("hospital-c").slave_SAE_ID == "bob"
        (key,) = alice.enc_keys("hospital-c", 1, 256)
        (same,) = bob.dec_keys("alice", [key.key_id], 256)
        assert key.secret.reveal() == same.secret.reveal()
        with pytest.raises(KmeError, match="cannot connect"):
            alice.status("hospital-b")
    with pytest.raises(ConfigError, match="`hospital-c` alone"), linked("bob", "carol"):
        pass
    path.write_text(tomli_w.dumps(own | {"peers": ["bob"]}))
    checks = [*examine(world.sae("alice", peers=("hospital-c",), **elsewhere), 0.0)]
    assert {c.name.partition(", ")[0] for c in checks} == {"hospital-c"}
    assert not any(c.outcome == "fail" for c in checks)
