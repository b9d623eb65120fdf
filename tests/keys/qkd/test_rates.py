import pytest

from fedket.errors import ConfigError
from fedket.keys.qkd.network import optimised_link
from fedket.keys.qkd.rates import rate_curve

QUNETQFL_BPS = 32.8e3
"""QuNetQFL, arXiv:2501.12709: reported lower bound per pair; its hardware is not public."""

CALIBRATED_LOSS_DB = 19.5
"""Total loss at which the model gives that rate at an assumed 100 MHz and 1e11 pulses per block.

Calibrated to reproduce the figure; it is not the paper's parameter."""


@pytest.mark.parametrize("protocol", ["mdi", "bb84"])
@pytest.mark.parametrize("pulses", [None, 1e10])
def test_rates_fall_with_the_loss_and_end(protocol, pulses):
    curve = rate_curve(protocol, [0.0, 25.0, 70.0], pulses=pulses)
    rates = [point.rate_bps for point in curve.points]
    assert rates == sorted(rates, reverse=True)
    assert rates[1] > 0 == rates[2]
    assert curve.points[2][2:] == (None,) * 4
    for point in curve.points[:2]:
        assert 0 < point.error < 0.5
        assert 0 < point.phase_error < 0.5
        assert 0 < point.mu < 1
        assert 0.5 < point.p_key <= 1


def test_the_clock_scales_rates_and_nothing_else():
    slow, fast = (rate_curve("mdi", [20.0], clock_hz=c).points[0] for c in (1e6, 1e8))
    assert fast.rate_bps == pytest.approx(100 * slow.rate_bps)
    assert fast[2:] == slow[2:]


def test_the_coin_bound_gives_more_and_is_refused_where_it_does_not_hold():
    joint, coin = (rate_curve("mdi", [20.0], bound=b).points[0].rate_bps for b in ("joint", "coin"))
    assert joint < coin < 1.2 * joint
    for protocol, pulses in [("mdi", 1e10), ("bb84", None)]:
        with pytest.raises(ConfigError, match="asymptotic rate of MDI-QKD only"):
            rate_curve(protocol, [20.0], pulses=pulses, bound="coin")
    with pytest.raises(ConfigError, match="more than 0 Hz"):
        rate_curve("mdi", [20.0], clock_hz=0.0)


def test_the_calibrated_loss_explains_the_reported_rate():
    losses = (19.0, CALIBRATED_LOSS_DB, 21.0)
    rates = [optimised_link((db / 2, db / 2), pulses=1e11).planned_rate_bps() for db in losses]
    assert rates[2] < QUNETQFL_BPS < rates[1] < min(rates[0], 1.05 * QUNETQFL_BPS)
