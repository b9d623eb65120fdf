"""What noise costs, against printed vectors and against a second accountant."""

import math
import sys

import numpy as np
import pytest

from fedket.errors import ConfigError
from fedket.secure.privacy import (
    ORDERS,
    distributed_gaussian_curve,
    epsilon_of,
    gaussian_curve,
    gaussian_epsilon,
    noise_for,
    rounded_l2,
    sampled_gaussian_curve,
    skellam_curve,
)

DELTA = 1e-5
CLIP_STEPS, VALUES, CLIENTS, NOISE, ROUNDS = 256.0, 4096, 20, 5.0, 100


def test_vectors_of_skellam_discrete_gaussian_and_gaussian_noise():
    """c = 1, s = 256, d = 4096, β = e^−½, n = 20, noise multiplier 5, 100 rounds, δ = 1e-5."""
    l2, deviation = rounded_l2(CLIP_STEPS, VALUES), NOISE * CLIP_STEPS
    each = deviation / math.sqrt(CLIENTS)
    found = [
        epsilon_of(ROUNDS * curve, DELTA)
        for curve in (
            skellam_curve(l2, VALUES, deviation**2),
            distributed_gaussian_curve(l2, VALUES, each, CLIENTS),
            gaussian_curve(NOISE),
        )
    ]
    assert [f"{epsilon:.6f}" for epsilon in found] == ["10.921813", "10.921809", "10.801691"]


def test_vectors_of_gaussian_noise_exact_and_by_curves():
    """q = 1, σ = 1; σ = 5 over 100 rounds; σ = 10^6."""
    assert f"{gaussian_epsilon(1.0, DELTA):.3f}" == "4.377"
    assert f"{epsilon_of(gaussian_curve(1.0), DELTA):.3f}" == "4.753"
    assert f"{gaussian_epsilon(5.0, DELTA, 100):.3f}" == "9.997"
    assert f"{epsilon_of(100 * gaussian_curve(5.0), DELTA):.3f}" == "10.802"
    assert 0 <= epsilon_of(gaussian_curve(1e6), DELTA) <= 0.0084
    assert 0 <= gaussian_epsilon(1e6, DELTA) <= 0.0084


@pytest.mark.parametrize("noise", [0.7, 2.0, 30.0])
def test_curves_never_promise_more_than_is_true(noise):
    assert epsilon_of(gaussian_curve(noise), DELTA) >= gaussian_epsilon(noise, DELTA)


def test_everybody_drawn_for_sure_is_no_sampling_and_fewer_cost_less():
    np.testing.assert_allclose(sampled_gaussian_curve(2.0, 1.0), gaussian_curve(2.0), rtol=1e-12)
    assert (sampled_gaussian_curve(2.0, 0.1) < gaussian_curve(2.0)).all()


def test_fine_integers_and_many_of_them_cost_what_gaussian_noise_does():
    steps, z = 1e7, 3.0
    l2 = rounded_l2(steps, 100)
    gaussian = gaussian_curve(z)[:255]
    skellam = skellam_curve(l2, 100, (z * steps) ** 2)[:255]
    distributed = distributed_gaussian_curve(l2, 100, z * steps / math.sqrt(7), 7)[:255]
    np.testing.assert_allclose(skellam, gaussian, rtol=1e-4)
    np.testing.assert_allclose(distributed, gaussian, rtol=1e-4)


@pytest.mark.parametrize("epsilon", [0.5, 4.0, 20.0])
def test_the_noise_for_an_epsilon_keeps_it_and_is_not_much_more_than_needed(epsilon):
    def curve(noise):
        return 30 * gaussian_curve(noise)

    noise = noise_for(curve, epsilon, DELTA)
    assert 0.99 * epsilon < epsilon_of(curve(noise), DELTA) <= epsilon


def test_no_noise_costs_everything():
    for curve in (
        gaussian_curve(0.0),
        skellam_curve(1.0, 1, 0.0),
        sampled_gaussian_curve(0.0, 0.5),
    ):
        assert epsilon_of(curve, DELTA) == math.inf
    with pytest.raises(ConfigError, match="no noise gives epsilon"):
        noise_for(lambda _: np.full(len(ORDERS), np.inf), 1.0, DELTA)


def test_without_the_extra_one_line_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "dp_accounting", None)
    with pytest.raises(ConfigError, match=r"pip install 'fedket\[dp\]'"):
        epsilon_of(gaussian_curve(1.0), DELTA)
