"""A KME's answer is used whole or not at all, and no error shows what was in it."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lossy_link import status

from fedket.keys.etsi014.answers import (
    DeliveredKey,
    Reply,
    read_chosen_keys,
    read_keys,
    read_status,
)
from fedket.keys.etsi014.errors import (
    KmeAnswerError,
    KmeBusyError,
    KmeRefusedError,
    KmeUnauthorizedError,
)
from fedket.keys.etsi014.seen import Seen
from fedket.keys.material import KeyMaterial

WHERE = "KME https://kme-a, enc_keys of alice with bob"
SECRETS = (b"first secret key", b"other secret key")
IDS = ("550e8400-e29b-41d4-a716-44665544000a", "550e8400-e29b-41d4-a716-44665544000b")


def container(secrets=SECRETS, ids=IDS, **entry: object) -> bytes:
    keys = [
        {"key_ID": i, "key": base64.b64encode(s).decode()} | entry
        for i, s in zip(ids, secrets, strict=True)
    ]
    return json.dumps({"keys": keys}).encode()


def reply(body: bytes, code: int = 200, media_type: str = "application/json") -> Reply:
    return Reply(code, media_type, "", body)


def read(body: bytes, code: int = 200, media_type: str = "application/json"):
    return read_keys(reply(body, code, media_type), WHERE, 2, 128)


def test_a_good_answer_is_read_in_order_and_hides_its_keys():
    keys = read(container())
    assert [(k.key_id, k.secret.reveal()) for k in keys] == list(zip(IDS, SECRETS, strict=True))
    for shown in (repr(keys), repr(reply(container()))):
        assert "secret key" not in shown
        assert base64.b64encode(SECRETS[0]).decode() not in shown


def test_vendors_may_add_fields():
    assert read(container(key_extension={"vendor": 1}, quality="fine"))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (container(), "asked for 1 keys, got 2"),
        (container((SECRETS[0], SECRETS[1][1:])), "has 120 bits, 128 were asked for"),
        (container((SECRETS[0], SECRETS[1] + b"!")), "has 136 bits"),
        (container(ids=(IDS[0], IDS[0].upper())), "a key_ID came twice"),
        (container((SECRETS[0], SECRETS[0])), "same key came under two"),
        (container(key="*" + base64.b64encode(SECRETS[0]).decode()[1:]), "is not base64"),
        (container(key="Zmlyc3Qgc2VjcmV0IGtleQ"), "same key came under two"),
        (container(key_ID="key 1"), "`keys.0.key_ID` is not as prescribed"),
        (container(key=[7]), "`keys.0.key` is not as prescribed"),
        (b'{"keys": {}}', "`keys` is not as prescribed"),
        (b'{"keys"', "instead of JSON"),
        (b"\xff\xfe", "instead of JSON"),
        (b"[[]]", "`keys.0` is not as prescribed"),
        (b"7", "`the answer` is not as prescribed"),
        (b"[" * 100_000, "instead of JSON"),
        (b"9" * 5_000, "instead of JSON"),
        (b"", "instead of JSON"),
    ],
)
def test_a_bad_answer_gives_one_line_and_no_key(body, says):
    number = 1 if "asked for 1" in says else 2
    with pytest.raises(KmeAnswerError) as error:
        read_keys(reply(body), WHERE, number, 128)
    message = str(error.value)
    assert message.startswith(WHERE)
    assert says in message
    assert "\n" not in message
    for secret in SECRETS:
        assert base64.b64encode(secret).decode()[:8] not in message
        assert secret.decode()[:8] not in message


@pytest.mark.parametrize("media_type", ["text/html", ""])
def test_what_is_not_json_is_not_read(media_type):
    with pytest.raises(KmeAnswerError, match=r"instead of JSON; check that `kme_url`"):
        read(b"<html>", media_type=media_type)


KEYS = [base64.b64encode(secret).decode() for secret in SECRETS]


@pytest.mark.parametrize(
    "body",
    [
        b"\xef\xbb\xbf" + container(),
        container().decode().encode("utf-16"),
        json.dumps([{"keyId": i, "Key": k} for i, k in zip(IDS, KEYS, strict=True)]).encode(),
        container().replace(b"key_ID", b"KEY-ID").replace(b"==", b""),
        container().replace(b"==", b"==\\r\\n"),
        json.dumps(
            {"keys": [{"key_ID": i, "key": s.hex()} for i, s in zip(IDS, SECRETS, strict=True)]}
        ).encode(),
    ],
)
@pytest.mark.parametrize("media_type", ["application/json", "text/plain", ""])
def test_what_can_be_meant_in_one_way_only_is_understood(body, media_type):
    keys = read(body, 201, media_type)
    assert [(k.key_id, k.secret.reveal()) for k in keys] == list(zip(IDS, SECRETS, strict=True))


def test_fewer_keys_than_asked_for_are_keys_and_none_is_a_shortage():
    assert len(read(container(SECRETS[:1], IDS[:1]))) == 1
    assert len(read(json.dumps({"key_ID": 7, "key": KEYS[0]}).encode())) == 1
    with pytest.raises(KmeBusyError, match="no keys came"):
        read(b'{"keys": []}')


@pytest.mark.parametrize(
    ("code", "body", "kind", "says"),
    [
        (401, b"", KmeUnauthorizedError, "401 unauthorized"),
        (401, b"<html>", KmeUnauthorizedError, "check that it names `sae_id`"),
        (503, b"", KmeBusyError, "ask again later"),
        (503, b'{"message": "link  down\\n"}', KmeBusyError, '503 "link down"'),
        (400, b'{"message": "Not enough keys"}', KmeBusyError, "too few keys are left"),
        (400, b'{"message": "insufficient key material"}', KmeBusyError, "too few"),
        (400, b'{"message": "no keys available for SAE"}', KmeBusyError, "too few"),
        (400, b'{"message": "key pool exhausted"}', KmeBusyError, "too few"),
        (
            400,
            b'{"message": "one or more keys specified are not found on KME"}',
            KmeRefusedError,
            "not found",
        ),
        (400, b'{"message": "size shall be a multiple of 8"}', KmeRefusedError, "multiple of 8"),
        (400, b"<html>", KmeRefusedError, "400 without a reason"),
        (400, b'{"message": "Unable, because there are 0 keys remaining"}', KmeBusyError, "0 keys"),
        (422, b'{"detail": [{"msg": "pool is empty"}]}', KmeBusyError, '422 "pool is empty"'),
        (404, b"{}", KmeBusyError, "404"),
        (429, b"", KmeBusyError, "429"),
        (500, b"<html>", KmeBusyError, "500"),
        (502, b"<html>", KmeBusyError, "502"),
        (504, b"", KmeBusyError, "504"),
        (204, b"", KmeBusyError, "204"),
        (403, b'{"error": {"reason": "who?"}}', KmeUnauthorizedError, '403 unauthorized "who?"'),
        (302, b"", KmeAnswerError, "HTTP 302"),
        (405, b"", KmeAnswerError, 'try `method = "GET"`'),
    ],
)
def test_refusals_are_told_apart(code, body, kind, says):
    with pytest.raises(kind) as error:
        read(body, code)
    assert type(error.value) is kind
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_a_long_message_of_the_kme_is_shortened():
    body = json.dumps({"message": "x" * 5000}).encode()
    with pytest.raises(KmeRefusedError) as error:
        read(body, 400)
    assert len(str(error.value)) < 500


@given(order=st.permutations(range(4)))
def test_chosen_keys_come_in_the_order_and_spelling_asked_for(order):
    ids = [f"550e8400-e29b-41d4-a716-4466554400a{i}" for i in range(4)]
    secrets = [f"the secret no. {i}".encode() for i in range(4)]
    answer = reply(container([secrets[i] for i in order], [ids[i].upper() for i in order]))
    keys = read_chosen_keys(answer, WHERE, ids, 128)
    assert [k.key_id for k in keys] == ids
    assert [k.secret.reveal() for k in keys] == secrets


def test_other_keys_than_chosen_are_refused():
    for others in ((IDS[0], IDS[0][:-1] + "c"), (*IDS, IDS[0][:-1] + "c")):
        with pytest.raises(KmeAnswerError, match="by their key_IDs, got 2, not the same"):
            read_chosen_keys(reply(container()), WHERE, others, 128)


@pytest.mark.parametrize(("code", "body"), [(404, b""), (204, b""), (401, b'{"detail": "none"}')])
def test_keys_that_a_kme_does_not_know_may_be_known_later(code, body):
    with pytest.raises(KmeRefusedError, match="or not yet"):
        read_chosen_keys(reply(body, code), WHERE, IDS, 128)


def test_a_key_that_comes_again_is_caught():
    seen, keys = Seen(), read(container())
    assert seen.admit(keys, WHERE) == keys
    with pytest.raises(KmeAnswerError, match="a key_ID came that an earlier"):
        seen.admit((DeliveredKey(IDS[0].upper(), KeyMaterial(b"a different one.")),), WHERE)
    with pytest.raises(KmeAnswerError, match="came again under another"):
        seen.admit((DeliveredKey(IDS[0][:-1] + "c", KeyMaterial(SECRETS[1])),), WHERE)
    assert "secret" not in repr(vars(seen))


def test_short_keys_may_be_equal_by_chance():
    short = [DeliveredKey(i, KeyMaterial(b"8 bytes!")) for i in IDS]
    assert Seen().admit(tuple(short), WHERE) == tuple(short)
    assert read_keys(reply(container((b"8 bytes!",) * 2)), WHERE, 2, 64)


def test_the_memory_of_keys_is_bounded():
    seen = Seen(remembered=4)
    for i in range(40):
        key = DeliveredKey(
            f"550e8400-e29b-41d4-a716-4466554400{i:02}", KeyMaterial(bytes([i] * 16))
        )
        seen.admit((key,), WHERE)
    assert len(seen._known) == len(seen._latest) == 4
    seen.admit(
        (DeliveredKey("550e8400-e29b-41d4-a716-446655440000", KeyMaterial(bytes(16))),), WHERE
    )


def test_a_status_is_read():
    good = status()
    assert read_status(reply(good.model_dump_json().encode()), WHERE) == good


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"key_size": 0}, "`key_size`"),
        ({"key_size": "many"}, "`key_size`"),
        ({"key_size": None}, "`key_size`"),
        ({"max_key_per_request": -1}, "`max_key_per_request`"),
        ({"max_key_size": 64}, "key sizes should rise"),
        ({"min_key_size": 256}, "key sizes should rise"),
    ],
)
def test_an_impossible_status_is_refused(changed, says):
    values = status().model_dump() | changed
    with pytest.raises(KmeAnswerError, match=says):
        read_status(reply(json.dumps(values).encode()), WHERE)


def test_a_status_may_leave_out_what_nobody_needs_and_spell_the_rest_as_it_likes():
    told = {"Key-Size": "256", "slaveSAEID": 7, "target_KME_ID": None, "max_key_per_request": 0}
    read = read_status(reply(json.dumps(told).encode(), media_type=""), WHERE)
    assert (read.key_size, read.min_key_size, read.max_key_size) == (256, 256, 256)
    assert (read.slave_SAE_ID, read.max_key_per_request, read.stored_key_count) == ("7", 1, -1)
