from math import floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedket.errors import ConfigError
from fedket.keys.qkd.blocks import transmittance
from fedket.keys.qkd.finite_key import (
    Epsilons,
    MdiPoint,
    best_point,
    expected_counts,
    key_length,
    phase_error_at_most,
    planned_key,
    split_epsilon,
)
from fedket.keys.qkd.mdi import (
    MdiChannel,
    asymptotic_rate,
    best_intensities,
    clicks,
    joint_phase_error,
    overlap,
    symmetric_channel,
)

ETA = transmittance(9.7)
POINT = MdiPoint(MdiChannel(ETA, ETA), 0.0056, 0.0056, 0.967, 1e11, split_epsilon())
"""The fixed working point of our specification: 19.4 dB in two equal arms."""


BEST = best_point(symmetric_channel(18.0), 1e10)


def test_the_finite_key_of_the_specification():
    # Section 2.1: N 1e11, mu .0056, p_x .967, eta 10^-.97 per arm, p_d 1e-8, V .99.
    assert expected_counts(POINT).num_raw == pytest.approx(112154068.87, abs=0.005)
    key = planned_key(POINT)
    assert key.phase_error == pytest.approx(0.16301728, abs=5e-9)
    assert floor(key.bits) == key.whole_bits == 34_295_796


# Section 2.1: optimised, 100 MHz, N 1e11, V .99.
@pytest.mark.parametrize(("loss", "kbps"), [(10.0, 316), (15.0, 97.5), (18.0, 47.9), (20.0, 29.7)])
def test_optimised_rates_of_the_specification(loss, kbps):
    point = best_point(symmetric_channel(loss), 1e11)
    assert planned_key(point).bits / 1e11 * 1e8 / 1e3 == pytest.approx(kbps, rel=2e-3)


@given(mu=st.floats(0.5, 2), p_y=st.floats(0.3, 3))
def test_no_other_working_point_is_better_than_the_best(mu, p_y):
    best = BEST
    other = best._replace(mu_a=mu * best.mu_a, mu_b=mu * best.mu_b, p_x=1 - p_y * (1 - best.p_x))
    assert planned_key(other).bits <= planned_key(best).bits * (1 + 1e-6)


def test_long_blocks_approach_the_asymptotic_rate_from_below():
    channel = symmetric_channel(15.0)
    rates = [planned_key(best_point(channel, n)).bits / n for n in (1e8, 1e10, 1e12, 1e16)]
    limit = asymptotic_rate(channel, *best_intensities(channel))
    assert rates == sorted(rates)
    assert 0.99 * limit < rates[-1] < limit


@given(errors=st.floats(0, 3))
def test_more_test_errors_never_give_more_key(errors):
    counts = expected_counts(POINT)
    usual = counts.test_errors[0]
    fewer, more = (
        key_length(POINT, counts._replace(test_errors=(e * usual,)), 0.0)
        for e in (errors, errors + 0.1)
    )
    assert more.bits <= fewer.bits
    assert fewer.phase_error <= more.phase_error <= 0.5


def test_statistics_only_add_to_the_phase_error():
    seen = clicks(POINT.channel, POINT.mu_a, POINT.mu_b)
    exact = joint_phase_error(seen, overlap(POINT.mu_a, POINT.mu_b))
    endless = POINT._replace(pulses=1e19)
    assert exact < planned_key(endless).phase_error < planned_key(POINT).phase_error
    assert planned_key(endless).phase_error == pytest.approx(exact, rel=1e-5)


def test_an_eavesdropper_on_all_pulses_leaves_no_key():
    counts = expected_counts(POINT)
    tapped = counts._replace(test_errors=(0.25 * sum(counts.test),))
    assert key_length(POINT, tapped, 0.0).bits < 0
    assert phase_error_at_most(POINT, counts.num_raw, 0.25 * sum(counts.test)) == 0.5
    assert phase_error_at_most(POINT, 0.0, 0.0) == 0.5


def test_the_stricter_reading_of_the_epsilons_costs_what_we_say():
    strict = POINT.epsilons._replace(kato=(1e-10 / 4) ** 2)
    kept = planned_key(POINT._replace(epsilons=strict)).bits / planned_key(POINT).bits
    assert kept == pytest.approx(0.973, abs=1e-3)


def test_epsilons_are_shared_out_and_checked():
    assert split_epsilon(1e-10, 1e-15) == Epsilons(2.5e-11, 2.5e-11, 1e-15)
    with pytest.raises(ConfigError, match="between 0 and 1, got eps_sec 0"):
        split_epsilon(0.0)
    with pytest.raises(ConfigError, match="1 or more pulses, got 0"):
        best_point(symmetric_channel(10.0), 0.0)
