"""How much is asked for at a time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lossy_link import status

from fedket.keys.etsi014.errors import KmeAnswerError
from fedket.keys.etsi014.sizing import BATCH_BYTES, Request, plan, shrink


@st.composite
def limits(draw):
    low, middle, high = sorted(draw(st.integers(1, 1 << 13)) * 8 for _ in range(3))
    number = draw(st.integers(1, 300))
    return status(min_key_size=low, key_size=middle, max_key_size=high, max_key_per_request=number)


@given(limits=limits(), num_bytes=st.integers(1, 1 << 22))
def test_a_request_respects_the_limits_and_asks_for_less_than_one_key_too_much(limits, num_bytes):
    request = plan(limits, num_bytes)
    assert limits.min_key_size <= request.size_bytes * 8 <= limits.max_key_size
    assert 1 <= request.number <= limits.max_key_per_request
    assert (request.number - 1) * request.size_bytes < num_bytes
    assert request.number * request.size_bytes <= max(BATCH_BYTES, request.size_bytes)


@given(limits=limits(), num_bytes=st.integers(1, 1 << 22))
def test_a_shrinking_request_reaches_the_smallest_that_the_kme_allows(limits, num_bytes):
    request = plan(limits, num_bytes)
    for _ in range(64):
        smaller = shrink(request, limits)
        assert smaller.number * smaller.size_bytes <= request.number * request.size_bytes
        request = smaller
    assert request == Request(1, limits.min_key_size // 8)


def test_the_largest_keys_and_as_many_as_allowed_are_asked_for():
    # QuNetQFL's LeNet-5 at q = 8: 61,706 bytes per pair and round.
    assert plan(status(max_key_size=1024, max_key_per_request=128), 61_706) == (128, 128)
    assert plan(status(), 40) == (3, 16)
    assert plan(status(), 10) == (1, 10)
    assert plan(status(), 1) == (1, 8)


def test_a_kme_without_a_size_in_whole_bytes_cannot_be_used():
    with pytest.raises(KmeAnswerError, match="none of them in whole bytes"):
        plan(status(min_key_size=129, key_size=130, max_key_size=135), 10)
