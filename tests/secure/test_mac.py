import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedket.errors import ProtocolError
from fedket.keys.material import KeyMaterial
from fedket.secure.mac import TAG_BYTES, Header, check_tag, encode, make_tag

HEADER = Header("run 7", "upload", 3, 5, -1, 96)
KEY = KeyMaterial(bytes(range(32)))
LOOKS_LIKE_A_TUPLE = int.from_bytes(b"1234567t", "little")
values = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.binary(max_size=12),
    st.text(max_size=6),
    st.lists(st.integers(-(2**63), 2**63 - 1), max_size=4).map(tuple),
)


def poly1305(key: bytes, message: bytes) -> bytes:
    """RFC 8439, section 2.5.1, in Python's integers."""
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for start in range(0, len(message), 16):
        block = message[start : start + 16] + b"\x01"
        total = (total + int.from_bytes(block, "little")) * r % (2**130 - 5)
    return ((total + int.from_bytes(key[16:], "little")) % 2**128).to_bytes(16, "little")


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**31 - 1), size=st.integers(0, 100))
def test_a_tag_is_poly1305_over_the_header_and_the_payload(seed, size):
    rng = np.random.default_rng(seed)
    key, payload = rng.bytes(32), rng.bytes(size)
    expected = poly1305(key, encode(*HEADER, size) + payload)
    assert make_tag(KeyMaterial(key), HEADER, payload) == expected
    check_tag(KeyMaterial(key), HEADER, payload, expected)


def test_poly1305_itself_is_that_of_the_rfc():
    """RFC 8439, section 2.5.2; checks the few lines above, which check the library."""
    key = "85d6be7857556d337f4452fe42d506a80103808afb0db2fd4abff6af4149f51b"
    tag = poly1305(bytes.fromhex(key), b"Cryptographic Forum Research Group")
    assert tag.hex() == "a8061dc1305136c6c22b8baf0c0127a9"


@settings(deadline=None, max_examples=100)
@given(st.lists(values, max_size=4), st.lists(values, max_size=4))
def test_two_messages_never_have_the_same_encoding(one, other):
    assert (encode(*one) == encode(*other)) == (one == other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("ab", "c"), ("a", "bc")),
        ((b"ab",), ("ab",)),
        (((1, 2), (3,)), ((1,), (2, 3))),
        (((1,),), (1,)),
        (((), b""), (b"", ())),
        (("asb",), ("a", "b")),
        ((b"abb",), (b"a", b"b")),
        (((0,), (LOOKS_LIKE_A_TUPLE,)), ((0, int.from_bytes(b"t1234567", "little")), ())),
        ((1, b"x" * 8), (1, int.from_bytes(b"x" * 8, "little"))),
    ],
)
def test_boundaries_and_kinds_are_part_of_the_encoding(one, other):
    assert encode(*one) != encode(*other)


@pytest.mark.parametrize("field", Header._fields)
def test_a_tag_fits_no_other_message(field):
    tag = make_tag(KEY, HEADER, b"payload")
    value = getattr(HEADER, field)
    other = HEADER._replace(**{field: value + "x" if isinstance(value, str) else value + 1})
    with pytest.raises(ProtocolError, match="fails its MAC"):
        check_tag(KEY, other, b"payload", tag)


@pytest.mark.parametrize(
    ("payload", "tag"),
    [
        (b"paiload", lambda tag: tag),
        (b"payloa", lambda tag: tag),
        (b"payload\0", lambda tag: tag),
        (b"payload", lambda tag: bytes(TAG_BYTES)),
        (b"payload", lambda tag: tag[:-1]),
        (b"payload", lambda tag: b""),
        (b"payload", lambda tag: tag[:-1] + bytes([tag[-1] ^ 128])),
    ],
)
def test_what_was_altered_is_rejected_and_sender_and_receiver_are_named(payload, tag):
    with pytest.raises(ProtocolError, match="from client 5 to the server in round 3 fails"):
        check_tag(KEY, HEADER, payload, tag(make_tag(KEY, HEADER, b"payload")))


def test_an_error_shows_neither_key_nor_tag():
    right = make_tag(KEY, HEADER, b"payload")
    with pytest.raises(ProtocolError) as error:
        check_tag(KEY, HEADER, b"other", right)
    for secret in (KEY.reveal(), right, make_tag(KEY, HEADER, b"other")):
        assert secret.hex()[:8] not in str(error.value)
        assert str(secret)[2:10] not in str(error.value)
