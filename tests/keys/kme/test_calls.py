"""Our client and our KMEs, over real TLS: the calls of ETSI GS QKD 014 and its errors."""

import pytest
from kme_network import ODD, STRANGER, serve

from fedket.keys.etsi014.errors import (
    KmeAnswerError,
    KmeBusyError,
    KmeRefusedError,
    KmeUnauthorizedError,
)
from fedket.keys.etsi014.models import API, KEYS_NOT_FOUND, SIZE_NOT_BYTES, UNKNOWN_EXTENSION

UNKNOWN = "00000000-0000-0000-0000-000000000000"
TOO_LONG = "bad request: give its length, at most 1048576 bytes"


@pytest.mark.parametrize(("master", "slave"), [("alice", "bob"), ("bob", "alice"), (ODD, "bob")])
@pytest.mark.parametrize(("number", "size_bits"), [(1, 64), (5, 256), (8, 1024)])
def test_both_ends_get_the_same_keys_in_the_order_asked_for(
    world, master, slave, number, size_bits
):
    with world.client(master) as ours, world.client(slave) as theirs:
        keys = ours.enc_keys(slave, number, size_bits)
        backwards = theirs.dec_keys(master, [k.key_id for k in keys][::-1], size_bits)
    assert [len(k.secret) * 8 for k in keys] == [size_bits] * number
    assert list(keys) == list(backwards)[::-1]


def test_status_says_who_and_how_much_in_bits(world):
    with world.client("alice") as kme:
        before = kme.status("bob")
        kme.enc_keys("bob", 4, 512)
        after = kme.status("bob")
    names = (before.source_KME_ID, before.target_KME_ID, before.master_SAE_ID, before.slave_SAE_ID)
    assert names == ("kme-a", "kme-b", "alice", "bob")
    assert (before.key_size, before.min_key_size, before.max_key_size) == (256, 64, 1024)
    assert before.stored_key_count - after.stored_key_count == 4 * 512 // 256


def test_an_id_is_encoded_in_the_path_and_decoded_by_the_kme(world):
    with world.client("bob") as kme:
        assert kme.status(ODD).slave_SAE_ID == ODD
        with pytest.raises(KmeRefusedError, match="no link"):
            kme.status("site 7/östlich /")


def test_a_key_is_fetched_once_by_the_end_it_was_made_for(world):
    with (
        world.client("alice") as alice,
        world.client("bob") as bob,
        world.client("carol") as carol,
        world.client(ODD) as odd,
    ):
        with pytest.raises(KmeUnauthorizedError, match="401"):
            odd.dec_keys("alice", [UNKNOWN], 256)
        key_ids = [key.key_id for key in alice.enc_keys("bob", 2, 256)]
        with pytest.raises(KmeUnauthorizedError, match="401"):
            carol.dec_keys("alice", key_ids, 256)
        with pytest.raises(KmeRefusedError, match=KEYS_NOT_FOUND):
            bob.dec_keys("alice", [*key_ids, UNKNOWN], 256)
        assert len(bob.dec_keys("alice", key_ids, 256)) == 2
        with pytest.raises(KmeRefusedError, match=KEYS_NOT_FOUND):
            bob.dec_keys("alice", key_ids[:1], 256)


@pytest.mark.parametrize("name", [STRANGER, "bob"])
def test_an_application_of_nobody_or_of_another_kme_is_unauthorised_without_a_body(world, name):
    elsewhere = world.sae(name, kme_url=world.urls["kme-a"], kme_id="kme-a")
    with world.http(name) as http:
        answer = http.get(f"{elsewhere.kme_url}{API}/alice/status")
    assert (answer.status_code, answer.content) == (401, b"")
    with (
        world.client(name, kme_url=world.urls["kme-a"]) as kme,
        pytest.raises(KmeUnauthorizedError, match="401"),
    ):
        kme.enc_keys("alice", 1, 256)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"size": 257}, SIZE_NOT_BYTES),
        ({"size": 32}, "size shall be from 64 to 1024 bits"),
        ({"size": 2048}, "size shall be from 64 to 1024 bits"),
        ({"size": 0}, "size shall be from 64 to 1024 bits"),
        ({"number": 9}, "number shall be from 1 to 8"),
        ({"number": 0}, "number shall be from 1 to 8"),
        ({"number": "1"}, "bad request: body.number"),
        ({"extension_mandatory": [{"route": "direct"}]}, UNKNOWN_EXTENSION),
        (
            {"additional_slave_SAE_IDs": ["bob", "carol"]},
            "additional_slave_SAE_IDs shall have at most 1 entries",
        ),
        ({"additional_slave_SAE_IDs": ["nobody"]}, "no link to that SAE_ID"),
        ([], "bad request: body"),
    ],
)
def test_a_bad_key_request_is_400_with_a_message(world, body, message):
    with world.http("alice") as http:
        answer = http.post(f"{API}/bob/enc_keys", json=body)
    assert answer.status_code == 400
    assert list(answer.json()) == ["message"]
    assert answer.json()["message"].startswith(message)


@pytest.mark.parametrize(
    ("method", "path", "content", "message"),
    [
        ("POST", "bob/enc_keys", b"{", "bad request: body"),
        ("POST", "bob/dec_keys", b'{"key_IDs": []}', "bad request: body.key_IDs"),
        ("POST", "bob/dec_keys", b'{"key_IDs": [{"key_ID": "7"}]}', KEYS_NOT_FOUND),
        ("POST", "bob/dec_keys", b'{"key_IDs": ["7"]}', "bad request: body.key_IDs.0"),
        ("POST", "bob/dec_keys", b"", "bad request: body"),
        ("POST", "bob/enc_keys", b" " * (1 << 20) + b"{}", TOO_LONG),
        ("GET", "bob/dec_keys", b"", "bad request: query.key_ID"),
        ("GET", f"bob/dec_keys?key_ID={UNKNOWN}", b"", KEYS_NOT_FOUND),
        ("GET", "bob/enc_keys?number=x", b"", "bad request: query.number"),
        ("GET", "bob/enc_keys?foo=1", b"", "bad request: a parameter of the query is unknown"),
        ("GET", "bob/enc_keys?size=64&size=8", b"", "bad request: a parameter of the query comes"),
        ("POST", "bob/enc_keys?number=2", b"", "bad request: a parameter of the query is unknown"),
        ("GET", "bob/status?x", b"", "bad request: a parameter of the query is unknown"),
        ("GET", "nobody/status", b"", "no link to that SAE_ID"),
        ("GET", "bob/keys", b"", "no such call"),
        ("DELETE", "bob/status", b"", "no such call"),
        ("GET", "bob%2Fstatus", b"", "no such call"),
    ],
)
def test_every_other_error_is_400_with_a_message(world, method, path, content, message):
    before = world.pools.stored_key_count("alice", "bob")
    with world.http("alice") as http:
        headers = {"Content-Type": "application/json"} if content else {}
        answer = http.request(method, f"{API}/{path}", content=content, headers=headers)
    assert answer.status_code == 400
    assert list(answer.json()) == ["message"]
    assert answer.json()["message"].startswith(message)
    assert "_" not in answer.json()["message"].replace("key_ID", "").replace("SAE_ID", "")
    assert world.pools.stored_key_count("alice", "bob") == before


def test_a_body_of_unknown_length_is_refused(world):
    with world.http("alice") as http:
        answer = http.post(f"{API}/bob/enc_keys", content=iter([b"{}"]))
    assert answer.status_code == 400


def test_the_short_forms_of_the_standard_work(world):
    with world.http("alice") as alice, world.http("bob") as bob:
        one = alice.get(f"{API}/bob/enc_keys").json()["keys"]
        two = alice.get(f"{API}/bob/enc_keys", params={"number": 2, "size": 64})
        assert len(one) == 1
        assert two.headers["cache-control"] == "no-store"
        assert len(two.json()["keys"]) == 2
        path = f"{API}/alice/dec_keys"
        assert (
            bob.get(path, params={"key_ID": one[0]["key_ID"].upper()}).json()["keys"][0]["key"]
            == one[0]["key"]
        )


def test_optional_extensions_are_ignored_and_an_empty_request_has_defaults(world):
    with world.http("alice") as http:
        for headers in ({}, {"Content-Type": "text/plain"}):
            answer = http.post(f"{API}/bob/enc_keys", headers=headers)
            assert len(answer.json()["keys"]) == 1
        body = {"extension_optional": [{"colour": "blue"}], "vendor": 1}
        assert len(http.post(f"{API}/bob/enc_keys", json=body).json()["keys"]) == 1


def test_one_key_may_go_to_several_slaves_each_once(world):
    body = {"additional_slave_SAE_IDs": ["carol"], "number": 2}
    with world.http("alice") as http:
        keys = http.post(f"{API}/bob/enc_keys", json=body).json()["keys"]
    key_ids = [key["key_ID"] for key in keys]
    with world.client("bob") as bob, world.client("carol") as carol:
        assert bob.dec_keys("alice", key_ids, 256) == carol.dec_keys("alice", key_ids, 256)
        with pytest.raises(KmeRefusedError, match=KEYS_NOT_FOUND):
            bob.dec_keys("alice", key_ids, 256)


@pytest.mark.parametrize("code", [400, 503])
def test_a_short_pool_is_told_as_come_again_later(pki, code):
    with serve(pki, initial_keys=3, shortage_status=code) as world, world.client("alice") as kme:
        with pytest.raises(KmeBusyError, match="ask again later"):
            kme.enc_keys("bob", 4, 256)
        assert len(kme.enc_keys("bob", 3, 256)) == 3
        with pytest.raises(KmeBusyError, match=f"{code} "):
            kme.enc_keys("bob", 1, 64)


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"kme_id": "kme-z"}, "source_KME_ID is `kme-a`"),
        ({"sae_id": "al"}, "master_SAE_ID is `alice`"),
    ],
)
def test_a_kme_that_is_not_the_expected_one_is_refused(world, changed, says):
    with world.client("alice", **changed) as kme, pytest.raises(KmeAnswerError, match=says):
        kme.status("bob")
