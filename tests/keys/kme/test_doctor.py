"""The doctor on a real network: quiet when all is well, and clear about each thing that is not."""

import pytest
from cryptography import x509
from kme_network import STRANGER, World

from fedket.keys.etsi014.doctor import Check, examine


def diagnose(world: World, seconds: float = 0.0, **changed: object) -> dict[str, Check]:
    config = world.sae("alice", **({"peers": ("bob",)} | changed))
    checks = list(examine(config, seconds, lambda _: None))
    assert all("\n" not in check.found for check in checks)
    return {check.name: check for check in checks}


def failures(checks: dict[str, Check]) -> set[str]:
    return {check.name for check in checks.values() if check.outcome == "fail"}


def test_all_is_well(world):
    checks = diagnose(world, seconds=1.0, peers=("bob", "carol"), need_bytes=1000)
    assert failures(checks) == set()
    assert list(checks) == [
        *["files", "key pair", "permissions", "validity", "identity", "issuer"],
        *["reachable", "TLS", "clocks"],
        *["peer bob", "limits for bob", "peer carol", "limits for carol"],
        *["rate for bob", "rate for carol"],
    ]
    assert checks["TLS"].found.startswith("TLSv1.3")
    assert "kme-a to kme-b" in checks["peer bob"].found


def test_looking_uses_up_no_key(world):
    before = world.pools.stored_key_count("alice", "bob")
    diagnose(world, seconds=1.0)
    assert world.pools.stored_key_count("alice", "bob") == before


@pytest.mark.parametrize(
    ("faults", "failing", "says"),
    [
        (["html"], "peer bob", "got text/html"),
        (["html_401"], "peer bob", "401"),
        (["unavailable"], "peer bob", "503"),
        (["wrong_kme_id"], "peer bob", "expected `kme-a`"),
    ],
)
def test_a_kme_that_misbehaves_is_told(world, faults, failing, says):
    world.inject(*faults)
    checks = diagnose(world)
    assert failures(checks) == {failing}
    assert says in checks[failing].found


def test_clocks_apart_are_told_also_when_the_call_fails(world):
    world.inject("html_401", offset_s=-86_400.0)
    assert failures(diagnose(world)) == {"peer bob", "clocks"}


@pytest.mark.parametrize(
    ("changed", "failing", "says"),
    [
        ({"peers": ("nobody",)}, "peer nobody", "no link"),
        ({"sae_id": "alicia"}, "peer bob", "master_SAE_ID is `alice`"),
        ({"kme_url": "https://127.0.0.1:1"}, "reachable", "no connection to 127.0.0.1:1"),
        ({"server_name": "kme.example"}, "TLS", "certificate is for another host"),
        ({"need_bytes": 10**12}, "limits for bob", "never holds more than"),
        ({"need_rate_bps": 1e12}, "rate for bob", "are needed"),
    ],
)
def test_a_configuration_that_does_not_fit_is_told(world, changed, failing, says):
    checks = diagnose(world, seconds=1.0, **changed)
    assert failures(checks) == {failing}
    assert says in checks[failing].found


def test_files_come_first_and_stop_the_rest(world, tmp_path):
    _, other_key = world.pki.certificates[STRANGER]
    for changed, failing in [
        ({"key": other_key}, "key pair"),
        ({"ca": tmp_path / "none"}, "files"),
    ]:
        checks = diagnose(world, **changed)
        assert failures(checks) == {failing}
        assert list(checks.values())[-1].outcome == "skip"


def test_an_application_that_the_kme_does_not_know_is_told(world):
    config = world.sae(STRANGER, peers=("bob",))
    checks = {check.name: check for check in examine(config, 0.0)}
    assert failures(checks) == {"peer bob"}
    assert "401" in checks["peer bob"].found
    assert checks["issuer"].outcome == "ok"
    assert x509.load_pem_x509_certificate(config.ca.read_bytes())
