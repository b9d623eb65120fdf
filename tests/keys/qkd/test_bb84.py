import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from fedket.errors import ConfigError
from fedket.keys.qkd import bb84
from fedket.keys.qkd.blocks import Counts, transmittance


def lim_2014_point(length_km):
    """The fixed working point of our specification for Lim et al.'s fibre, detectors of 10 %."""
    channel = bb84.Bb84Channel(0.1 * transmittance(0.2 * length_km))
    return bb84.DecoyPoint(channel, (0.5, 0.1, 2e-4), (0.6, 0.3, 0.1), 0.9, 1e10)


# Vectors of the specification, section 2.2.
@pytest.mark.parametrize(
    ("length_km", "bits"), [(0.0, 70_766_985), (25.0, 17_131_596), (50.0, 2_358_348)]
)
def test_key_lengths_of_the_specification(length_km, bits):
    assert bb84.planned_key(lim_2014_point(length_km)).whole_bits == bits


@pytest.mark.parametrize("length_km", [0.0, 25.0, 50.0, 75.0])
@given(seed=st.integers(0, 2**31 - 1))
def test_every_step_agrees_with_the_package_qkd(length_km, seed):
    qkd = pytest.importorskip("qkd", reason="the oracle `qkd` 0.2 is not installed")
    if not qkd.__file__:  # this very folder, as a namespace
        pytest.skip("the oracle `qkd` 0.2 is not installed")
    oracle = qkd._core
    point = lim_2014_point(length_km)
    counts = shaken(bb84.expected_counts(point), seed)
    eps, setting = point.secrecy / 21, (*point.mus, point.probs)
    vacuum, single = oracle.decoy_counts(*setting, counts.key, eps)
    _, single_test = oracle.decoy_counts(*setting, counts.test, eps)
    wrong = oracle.decoy_errors(*setting, counts.test_errors, eps)
    phase_error = oracle.bb84_phase(wrong, single_test, single, point.secrecy)
    bits = oracle.bb84_length(
        vacuum,
        single,
        phase_error,
        counts.num_raw,
        counts.key_error,
        1.16,
        point.secrecy,
        point.correctness,
    )
    leak = 1.16 * bb84.binary_entropy(counts.key_error) * counts.num_raw
    ours = bb84.key_length(point, counts, leak)
    assert ours.phase_error == pytest.approx(phase_error, rel=1e-9)
    assert ours.whole_bits == pytest.approx(bits, abs=1)


def shaken(counts, seed):
    """Counters that differ from their expectation by some per cent."""
    rng = np.random.default_rng(seed)
    return Counts(*(tuple(float(c * rng.uniform(0.95, 1.05)) for c in part) for part in counts))


@given(change=st.lists(st.floats(-0.5, 0.5), min_size=4, max_size=4))
def test_no_other_working_point_is_better_than_the_best(change):
    best = BEST
    q_x = 1 - (1 - best.q_x) * (1 + change[0])
    p_1 = 1 - (1 - best.probs[0]) * (1 + change[1])
    p_2 = (1 - p_1) * best.probs[1] / (best.probs[1] + best.probs[2])
    mus = (best.mus[0] * (1 + change[2]), best.mus[1] * (1 + 0.5 * change[3]), best.mus[2])
    assume(mus[0] > mus[1] + mus[2])  # the decoy bounds hold for this order only
    other = best._replace(q_x=q_x, probs=(p_1, p_2, 1 - p_1 - p_2), mus=mus)
    assert bb84.planned_key(other).bits <= bb84.planned_key(best).bits * (1 + 1e-4)


BEST = bb84.best_point(bb84.Bb84Channel(0.01), 1e10)


def test_optimising_beats_the_fixed_working_point():
    fixed = lim_2014_point(50.0)
    best = bb84.best_point(fixed.channel, fixed.pulses)
    assert bb84.planned_key(best).bits > 1.1 * bb84.planned_key(fixed).bits


def test_long_blocks_approach_infinitely_many_decoys_from_below():
    channel = bb84.Bb84Channel(0.03)
    limit = bb84.asymptotic_key(channel, bb84.best_asymptotic_mu(channel)).bits
    rates = [bb84.planned_key(bb84.best_point(channel, n)).bits / n for n in (1e9, 1e15)]
    assert rates == sorted(rates)
    assert 0.8 * limit < rates[-1] < limit


@given(more=st.floats(1, 10))
def test_more_test_errors_never_give_more_key(more):
    point = lim_2014_point(25.0)
    counts = bb84.expected_counts(point)
    worse = counts._replace(test_errors=tuple(more * e for e in counts.test_errors))
    assert bb84.key_length(point, worse, 0.0).bits <= bb84.key_length(point, counts, 0.0).bits


def test_yields_of_photon_numbers_add_up_to_the_clicks():
    channel, mu = bb84.Bb84Channel(0.2), 0.7
    total, probability = [0.0, 0.0], bb84.exp(-mu)
    for n in range(60):
        for i, part in enumerate(bb84._yields(channel, n)):
            total[i] += probability * part
        probability *= mu / (n + 1)
    assert total == pytest.approx(bb84.clicks_per_pulse(channel, mu), rel=1e-12)


def test_dark_channels_and_empty_tests_give_no_key():
    assert bb84.planned_key(bb84.best_point(bb84.Bb84Channel(1e-7), 1e9)).whole_bits == 0
    point = lim_2014_point(0.0)
    counts = bb84.expected_counts(point)._replace(test=(0.0, 0.0, 0.0), test_errors=(0.0, 0.0, 0.0))
    assert bb84.key_length(point, counts, 0.0).bits <= 0
    with pytest.raises(ConfigError, match="1 or more pulses"):
        bb84.best_point(bb84.Bb84Channel(0.1), 0.0)
