import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedket.errors import ConfigError, ProtocolError
from fedket.rng import Purpose, rng_for
from fedket.secure.quantise import (
    QUANTISERS,
    dequantise,
    headroom,
    quantise,
    rounding_noise,
    safe,
    word_width,
)
from fedket.secure.words import nearest_integers, to_words, word_dtype

MODES = [(word, bits) for word in ("headroom", "safe") for bits in (4, 8, 16, 32)]
GRID = [(w, b, n) for w, b in MODES for n in (2, 3, 5, 17) if (w, b, n) != ("headroom", 4, 17)]
modes = pytest.mark.parametrize(("word", "bits"), MODES)
UP, DOWN = np.uint32(0), np.uint32(2**32 - 1)


def shares_of(seed: int, num_clients: int) -> list[float]:
    shares = np.random.default_rng(seed).uniform(0.05, 1, num_clients)
    return [float(share) for share in shares / shares.sum()]


@modes
@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**31 - 1))
def test_a_value_is_never_off_by_a_step(word, bits, seed):
    shares = shares_of(seed, 5)
    quantiser = QUANTISERS[word](bits, 0.5, shares)
    limit = shares[0] * 0.5
    values = np.random.default_rng(seed).uniform(-limit, limit, 64).astype(np.float32)
    found = quantise(quantiser, values, shares[0], rounding_noise(seed, 1, (0,), 64)[0])
    assert found.num_clipped == 0
    error = found.integers / quantiser.scale - np.clip(values, -limit, limit)
    assert np.abs(error).max() < 1 / quantiser.scale


@modes
def test_rounding_is_unbiased(word, bits):
    num_draws, shares = 40_000, shares_of(1, 3)
    quantiser = QUANTISERS[word](bits, 1.0, shares)
    noise = rounding_noise(5, 2, (9,), num_draws)[0]
    for fraction in (-0.7, -1 / 3, 0.123, 0.5):
        value = np.float32(fraction * shares[1])
        integers = quantise(quantiser, np.full(num_draws, value), shares[1], noise).integers
        mean = integers.mean()
        assert abs(mean - float(value) * quantiser.scale) < 6 * 0.5 / num_draws**0.5


@pytest.mark.parametrize(("word", "bits", "num_clients"), GRID)
@pytest.mark.parametrize(("sign", "noise"), [(1, UP), (-1, DOWN)])
def test_no_overflow_when_every_client_is_at_the_clip(word, bits, num_clients, sign, noise):
    for shares in ([1 / num_clients] * num_clients, shares_of(2, num_clients)):
        quantiser = QUANTISERS[word](bits, 0.25, shares)
        ring = np.zeros(3, word_dtype(quantiser.word_bits))
        for share in shares:
            values = np.full(3, sign * 9.0 * share, np.float32)
            quantised = quantise(quantiser, values, share, np.full(3, noise))
            assert quantised.num_clipped == 3
            ring += to_words(quantised.integers, quantiser.word_bits)
        total = dequantise(quantiser, nearest_integers(ring, quantiser.word_bits))
        np.testing.assert_allclose(total, sign * 0.25, atol=num_clients / quantiser.scale + 1e-7)


@modes
def test_dequantised_words_are_the_lifted_integers(word, bits):
    quantiser = QUANTISERS[word](bits, 2.0, shares_of(4, 6))
    top = 2 ** (quantiser.word_bits - 1)
    words = np.array([0, 1, top - 1, top, 2 * top - 1], np.uint64)
    expected = np.array([0, 1, top - 1, -top, -1]) / quantiser.scale
    words = words.astype(word_dtype(quantiser.word_bits))
    result = dequantise(quantiser, nearest_integers(words, quantiser.word_bits))
    assert result.dtype == np.float32
    np.testing.assert_array_equal(result, expected.astype(np.float32))


@pytest.mark.parametrize("num_values", [50, 2**16 + 3])
def test_a_clients_rounding_does_not_depend_on_the_others(num_values):
    together = rounding_noise(3, 7, (2, 5, 11), num_values)
    for row, client_id in zip(together, (2, 5, 11), strict=True):
        np.testing.assert_array_equal(rounding_noise(3, 7, (client_id,), num_values)[0], row)
        rng = rng_for(3, Purpose.QUANTISE, 7, client_id)
        np.testing.assert_array_equal(jax.random.bits(rng, (num_values,), np.uint32), row)
    other = [(4, 7, (2,)), (3, 8, (2,)), (3, 7, (3,))]
    others = [rounding_noise(*args, num_values) for args in other]
    assert all((other == together[0]).mean() < 0.01 for other in others)


def test_clipped_coordinates_are_counted():
    quantiser = headroom(16, 0.1, [0.25] * 4)
    values = np.array([0.025, -0.025, 0.0251, -1, 0], np.float32)
    found = quantise(quantiser, values, 0.25, np.full(5, DOWN))
    assert found.num_clipped == 2
    np.testing.assert_allclose(
        found.integers / quantiser.scale,
        [0.025, -0.025, 0.025, -0.025, 0],
        atol=1 / quantiser.scale,
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_updates_that_are_not_finite_are_refused(bad):
    values = np.array([0, bad, bad], np.float32)
    with pytest.raises(ProtocolError, match="2 of 3 values"):
        quantise(headroom(8, 1.0, [0.5] * 2), values, 0.5, np.full(3, UP))


def test_scales_are_those_of_the_formulas():
    assert headroom(8, 1.0, [0.25] * 4).scale == 127 - 4
    assert safe(8, 1.0, [0.5, 0.25, 0.25]).scale == 127 / 0.5
    assert [word_width(8, "headroom", k) for k in (1, 4, 5)] == [8, 8, 8]
    assert [word_width(8, "safe", k) for k in (1, 2, 3, 4, 5, 200)] == [8, 9, 10, 10, 11, 16]


def test_no_headroom_is_an_error_that_names_the_largest_number_of_clients():
    assert headroom(4, 1.0, [1 / 6] * 6).scale == 1
    with pytest.raises(ConfigError, match=r"at most 6 clients, got 7.*modulus = \"safe\""):
        headroom(4, 1.0, [1 / 7] * 7)


@pytest.mark.parametrize(("bits", "clip"), [(1, 1.0), (33, 1.0), (8, 0.0), (8, float("inf"))])
@pytest.mark.parametrize("make", [headroom, safe])
def test_senseless_settings_are_refused(make, bits, clip):
    with pytest.raises(ConfigError):
        make(bits, clip, [0.5, 0.5])
