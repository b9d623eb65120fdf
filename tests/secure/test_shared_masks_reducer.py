"""The reducer of Protocol B against the plain quantised sum."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rounds import a_round, assert_same_bits, expected_cost

from fedket.errors import ConfigError, KeyMaterialError, ProtocolError
from fedket.keys.os_random import OsRandomSource
from fedket.secure import quantised_sum, shared_mask_sum, shared_masks_protocol
from fedket.secure.shared_masks.plan import Plan, key_of_round, terms_of
from fedket.secure.words import nearest_integers, to_words, word_dtype


def reducer_of(bits=16, colluders=1, threshold=3, source=None, **options):
    source = source or OsRandomSource()
    return shared_mask_sum(bits, 1.0, source, colluders=colluders, threshold=threshold, **options)


@pytest.mark.parametrize("bits", [2, 8, 16, 32])
@pytest.mark.parametrize(("n", "T", "U"), [(4, 1, 3), (7, 2, 5)])
@settings(max_examples=2)
@given(seed=st.integers(0, 2**31 - 1), malicious=st.booleans())
def test_masked_equals_quantised_bit_for_bit(bits, n, T, U, seed, malicious):
    contributions, context = a_round(seed, n)
    masked, traffic = reducer_of(bits, T, U, malicious=malicious)(contributions, context)
    quantised, _ = quantised_sum(bits, "safe", 1.0)(contributions, context)
    assert_same_bits(masked, quantised)
    terms = terms_of(Plan("in process", 13, bits, T, U, malicious), 1, context.client_ids)
    num_requests = 7 if malicious else 6
    assert traffic.key_bits == sum(key_of_round(terms)) + n * 2 * 256 * num_requests
    protocol = shared_masks_protocol(bits, 1.0, colluders=T, threshold=U, malicious=malicious)
    assert (traffic.upload_bytes, traffic.key_bits) == expected_cost(protocol, context)
    assert [phase.name for phase in traffic.phases] == [
        "model", "reserve", "share", "upload", *["confirm"] * malicious, "open"
    ]  # fmt: skip
    assert traffic.upload_bytes == sum(phase.upload_bytes for phase in traffic.phases)


@settings(max_examples=5)
@given(seed=st.integers(0, 2**31 - 1), when=st.sampled_from(["reserve", "share", "upload"]))
def test_with_drop_outs_it_is_the_sum_over_the_survivors(seed, when):
    contributions, context = a_round(seed, 6)
    gone = context.client_ids[1:6:3]

    def answers(_, client_id, action):
        return action != when or client_id not in gone

    masked, _ = reducer_of(answers=answers)(contributions, context)
    is_gone = jnp.asarray([i in gone for i in context.client_ids])
    rest = jax.tree.map(
        lambda leaf: jnp.where(is_gone.reshape(-1, *[1] * (leaf.ndim - 1)), 0, leaf), contributions
    )
    assert_same_bits(masked, quantised_sum(16, "safe", 1.0)(rest, context)[0])


def test_too_many_drop_outs_end_the_round_and_the_next_one_works():
    contributions, context = a_round(3, 4)

    def answers(round_num, client_id, _):
        return round_num > 1 or client_id in context.client_ids[:2]

    reduce = reducer_of(answers=answers)
    with pytest.raises(
        ProtocolError, match=r"2 of 4 clients are left after `reserve`.*dropped out"
    ):
        reduce(contributions, context)
    masked, _ = reduce(contributions, context._replace(round_num=2))
    quantised, _ = quantised_sum(16, "safe", 1.0)(contributions, context._replace(round_num=2))
    assert_same_bits(masked, quantised)


def test_the_order_of_clients_does_not_matter():
    contributions, context = a_round(3, 4)
    order = [2, 0, 3, 1]
    moved = context._replace(
        client_ids=tuple(context.client_ids[k] for k in order),
        weights=tuple(context.weights[k] for k in order),
    )
    rows = jax.tree.map(lambda leaf: leaf[jnp.asarray(order)], contributions)
    assert_same_bits(reducer_of()(contributions, context)[0], reducer_of()(rows, moved)[0])


def test_a_round_is_masked_once_per_reducer_and_per_source():
    contributions, context = a_round(1, 4, round_num=4)
    source = OsRandomSource()
    reduce = reducer_of(source=source)
    reduce(contributions, context)
    for again in (reduce, reducer_of(source=source)):
        for round_num in (4, 3):
            with pytest.raises((ProtocolError, KeyMaterialError), match="rounds only go up"):
                again(contributions, context._replace(round_num=round_num))
    reduce(contributions, context._replace(round_num=5))


def test_a_cohort_too_small_for_the_threshold_is_a_config_error():
    contributions, context = a_round(1, 2)
    with pytest.raises(ConfigError, match="at most the 2 clients of round 1, got 3"):
        reducer_of()(contributions, context)


@given(seed=st.integers(0, 2**31 - 1), bits=st.sampled_from([2, 8, 16, 31, 32, 64]))
def test_words_and_integers_are_the_same_numbers(seed, bits):
    top = 2 ** (bits - 1) - 1
    integers = np.random.default_rng(seed).integers(-top, top, 20, endpoint=True)
    integers[:2] = -top, top
    words = to_words(integers, bits)
    np.testing.assert_array_equal(nearest_integers(words, bits), integers)
    assert words.dtype == word_dtype(bits)
