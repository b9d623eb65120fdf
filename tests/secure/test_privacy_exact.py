"""Integer noise is drawn from exactly the distribution that is accounted for."""

import numpy as np
import pytest
from scipy import stats

from fedket.errors import ConfigError
from fedket.secure.privacy.exact import Law, draw, draw_from

LAWS = [
    Law(kind, deviation)
    for kind in ("discrete_gaussian", "skellam")
    for deviation in (0.4, 1.0, 3.7, 250.0)
]


def seeded(seed):
    return np.random.default_rng(seed).bytes


def probabilities(law, values):
    """By scipy, in floating point."""
    if law.kind == "skellam":
        return stats.skellam.pmf(values, law.deviation**2 / 2, law.deviation**2 / 2)
    reach = np.arange(-50 * int(law.deviation + 1), 50 * int(law.deviation + 1) + 1)
    weights = np.exp(-(values**2) / (2 * law.deviation**2))
    return weights / np.exp(-(reach**2) / (2 * law.deviation**2)).sum()


def chi_squared_p(law, drawn):
    """p-value of draws against the law, the two tails as one cell each."""
    edge = int(3 * law.deviation) + 1
    values = np.arange(-edge, edge + 1)
    seen = [(drawn < -edge).sum(), *((drawn == v).sum() for v in values), (drawn > edge).sum()]
    inside = probabilities(law, values)
    tail = (1 - inside.sum()) / 2
    return stats.chisquare(seen, drawn.size * np.array([tail, *inside, tail])).pvalue


@pytest.mark.parametrize("law", LAWS)
def test_draws_have_the_law_chi_squared_and_moments(law):
    drawn = draw(law, 200_000, seeded(1))
    assert chi_squared_p(law, drawn) > 1e-3
    values = np.arange(-60 * int(law.deviation + 1), 60 * int(law.deviation + 1) + 1)
    variance = (probabilities(law, values) * values**2).sum()
    error = np.sqrt(variance / drawn.size)
    assert abs(drawn.mean()) < 4 * error
    assert drawn.var() == pytest.approx(variance, rel=4 * np.sqrt(3 / drawn.size))


@pytest.mark.parametrize("law", [Law("discrete_gaussian", 1.3), Law("skellam", 1.3)])
def test_draws_that_need_more_digits_than_a_table_has_are_of_the_same_law(law):
    """With tables of 8 digits that is one draw in ten, with those of 64 none that anybody sees."""
    entropy = seeded(2)
    drawn = np.array([draw_from(law, entropy(1)[0], 8, entropy) for _ in range(20_000)])
    assert chi_squared_p(law, drawn) > 1e-3


@pytest.mark.parametrize("law", LAWS)
def test_the_same_digits_give_the_same_draw_however_many_a_table_has(law):
    start = [int.from_bytes(seeded(seed)(8), "big") for seed in range(50)]
    for digits in start:
        fine = draw_from(law, digits, 64, seeded(3))
        more = draw_from(law, digits << 64 | int.from_bytes(seeded(3)(8), "big"), 128, seeded(4))
        assert fine == more


def test_noise_off_is_zero_and_noise_beyond_the_tables_is_refused():
    assert not draw(Law("skellam", 0.0), 5).any()
    for deviation in (-1.0, float("nan"), 2.0**15):
        with pytest.raises(ConfigError, match="cannot be drawn exactly"):
            draw(Law("skellam", deviation), 1)


def test_draws_come_from_the_operating_system():
    law = Law("skellam", 100.0)
    assert (draw(law, 1000) != draw(law, 1000)).any()
