import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedket.errors import ConfigError
from fedket.keys.qkd.blocks import binary_entropy, transmittance
from fedket.keys.qkd.mdi import (
    Clicks,
    MdiChannel,
    asymptotic_rate,
    balanced,
    best_intensities,
    clicks,
    coin_phase_error,
    joint_phase_error,
    overlap,
    phase_error,
    symmetric_channel,
)

WEAK = MdiChannel(0.177827941, 0.177827941, 1e-8, 0.99)
CLEAR = MdiChannel(0.1, 0.1, 1e-8, 0.98)
UNEQUAL = MdiChannel(0.3, 0.2, 1e-6, 0.98)


# Vectors of the specification, section 2.1: f = 1.16, p_x = 1.
@pytest.mark.parametrize(
    ("channel", "mu", "gain", "error"),
    [
        (WEAK, 0.01, 0.003550198832, 0.004994025291),
        (CLEAR, 0.005, 0.0009995102416, 0.01000494486),
        (UNEQUAL, 0.02, 0.00995019572, 0.01990206848),
    ],
)
def test_clicks_of_the_specification(channel, mu, gain, error):
    assert clicks(channel, mu, mu) == (
        pytest.approx(gain, rel=5e-10),
        pytest.approx(error, rel=5e-10),
    )


def test_overlap_of_the_specification():
    assert overlap(0.01, 0.01) == pytest.approx(0.999801339867, abs=5e-13)


@pytest.mark.parametrize(
    ("channel", "mu", "joint", "coin"),
    [(WEAK, 0.01, 0.1641641, 0.15658887), (CLEAR, 0.005, 0.17288177, 0.16425959)],
)
def test_phase_errors_of_the_specification(channel, mu, joint, coin):
    assert phase_error(channel, mu, mu, "joint") == pytest.approx(joint, abs=5e-8)
    assert phase_error(channel, mu, mu, "coin") == pytest.approx(coin, abs=5e-9)


@pytest.mark.parametrize(
    ("channel", "mu", "joint", "coin", "tolerance"),
    [
        (WEAK, 0.01, 0.0010763951, 0.0011406279, 5e-11),
        (CLEAR, 0.005, 0.00024186865, 0.00026171055, 5e-12),
        (UNEQUAL, 0.02, -3.285e-4, 8.07e-7, 5e-8),
    ],
)
def test_rates_of_the_specification(channel, mu, joint, coin, tolerance):
    rates = [asymptotic_rate(channel, mu, mu, bound=b) for b in ("joint", "coin")]
    assert rates == pytest.approx([joint, coin], abs=tolerance)


def amplitudes(phase, basis, mu, size=40):
    """Coherent state in the number basis."""
    alpha = np.sqrt(mu) * np.exp(1j * (phase + basis))
    powers = np.cumprod(np.concatenate([[1], np.full(size - 1, alpha)]))
    factorials = np.cumprod(np.concatenate([[1.0], np.arange(1, size)]))
    return np.exp(-mu / 2) * powers / np.sqrt(factorials)


@pytest.mark.parametrize("mu", [1e-3, 0.05, 0.4])
def test_overlap_is_that_of_the_purified_bases(mu):
    # A sender who keeps a qubit makes sum_bit |bit, basis>|light> / sqrt(2): the light of basis X
    # beside an X qubit, that of basis Y beside a Y qubit. F is the overlap of the two states.
    qubits = [np.array([[1, 1], [1, -1]]), np.array([[1, -1j], [1, 1j]])]
    states = [
        sum(np.outer(qubit[bit], amplitudes(np.pi * bit, phase, mu)) for bit in (0, 1)) / 2
        for qubit, phase in zip(qubits, (0.0, np.pi / 2), strict=True)
    ]
    assert overlap(mu, 0.0) == pytest.approx(abs(np.vdot(*states)), rel=1e-12)


def test_a_side_channel_costs_overlap_at_both_ends():
    assert overlap(0.01, 0.02, 0.1) == pytest.approx(0.81 * overlap(0.01, 0.02))


@given(gain=st.floats(1e-6, 1), error=st.floats(0, 0.5), f=st.floats(0.9, 1))
def test_phase_errors_are_at_least_the_test_errors_and_at_most_a_half(gain, error, f):
    for bound in (joint_phase_error, coin_phase_error):
        value = bound(Clicks(gain, error), f)
        assert error * (1 - 1e-9) <= value <= 0.5
        assert bound(Clicks(gain, error), min(1.0, f + 0.01)) <= value * (1 + 1e-9)


def test_identical_bases_have_no_extra_phase_error():
    for bound in (joint_phase_error, coin_phase_error):
        assert bound(Clicks(0.01, 0.03), 1.0) == pytest.approx(0.03)
        assert bound(Clicks(0.0, 0.0), 1.0) == 0.5


def test_the_rate_is_linear_in_the_transmittance():
    rates = []
    for loss in (10.0, 20.0, 30.0):
        channel = symmetric_channel(loss, dark_prob=1e-15)
        mu_a, mu_b = best_intensities(channel)
        assert mu_a / channel.eta_a == pytest.approx(0.054, abs=1e-3)
        rates.append(asymptotic_rate(channel, mu_a, mu_b) / transmittance(loss))
    assert rates == pytest.approx([rates[0]] * 3, rel=0.02)


@given(factor=st.floats(0.3, 3))
def test_no_other_intensity_is_better_than_the_best(factor):
    channel = symmetric_channel(15.0)
    mu, _ = best_intensities(channel)
    best = asymptotic_rate(channel, mu, mu)
    assert asymptotic_rate(channel, factor * mu, factor * mu) <= best * (1 + 1e-9)


@pytest.mark.parametrize("bound", ["joint", "coin"])
def test_unequal_arms_are_balanced_and_cost_rate(bound):
    even, uneven = MdiChannel(0.1, 0.1), MdiChannel(0.2, 0.05)
    mu_a, mu_b = best_intensities(uneven, bound=bound)
    assert mu_a * 0.2 == pytest.approx(mu_b * 0.05)
    mirrored = best_intensities(MdiChannel(0.05, 0.2), bound=bound)
    assert (mu_b, mu_a) == pytest.approx(mirrored, rel=1e-4)
    rate = asymptotic_rate(uneven, mu_a, mu_b, bound=bound)
    assert 0 < rate < asymptotic_rate(even, *best_intensities(even, bound=bound), bound=bound)
    assert balanced(even, 0.01) == (0.01, 0.01)


def test_a_loss_below_zero_is_refused():
    with pytest.raises(ConfigError, match="0 dB or more, got -3"):
        symmetric_channel(-3.0)
    with pytest.raises(ConfigError, match="nan"):
        transmittance(float("nan"))


def test_binary_entropy_is_symmetric_and_ends_at_zero():
    assert [binary_entropy(p) for p in (0.0, 0.5, 1.0)] == [0, 1, 0]
    assert binary_entropy(0.11) == pytest.approx(binary_entropy(0.89)) == pytest.approx(0.49991596)
