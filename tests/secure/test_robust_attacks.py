"""Attacks: ByzFL's numbers, and that nobody but the attackers sends or trains on something else."""

import jax
import numpy as np
import pytest

from fedket.errors import ConfigError
from fedket.secure.plain import plain_sum
from fedket.secure.robust import attacks
from fedket.secure.robust.attacks import Attack, attacked, poisoned
from fedket.traffic import Traffic
from fedket.types import Bound, Dataset, RoundContext

HONEST = np.array(
    [
        [1.83, -3.08, 0.96, 0.07],
        [1.32, 0.39, 1.83, 0.03],
        [-0.52, 0.58, 0.43, -0.36],
        [-0.25, 0.72, 0.7, -0.49],
        [-0.37, -1.81, 1.68, -0.22],
    ]
)
BYZFL = {
    "sign_flipping": ({}, [-0.402, 0.64, -1.12, 0.194]),
    "inner_product_manipulation": ({"tau": 2.0}, [-0.804, 1.28, -2.24, 0.388]),
    "a_little_is_enough": (
        {"tau": 1.5},
        [2.037116968293, 1.927739764852, 2.037271769979, 0.170132530818],
    ),
    "mimic": ({"epsilon": 3}, [-0.25, 0.72, 0.7, -0.49]),
}
"""Of ByzFL 0.0.11's attacks, with the honest vectors above."""

IMAGES = np.linspace(0, 1, 8 * 16, dtype=np.float32).reshape(8, 4, 4)
LABELS = np.array([0, 1, 2, 0, 1, 2, 0, 1], np.int32)
DATASET = Dataset("images", IMAGES, LABELS, IMAGES[:5], LABELS[:5], 3)
PARTITION = [np.array([0, 3, 5]), np.array([1, 2, 4, 7]), np.array([6])]


@pytest.mark.parametrize("name", BYZFL)
def test_attacks_are_those_of_byzfl(name):
    keys, expected = BYZFL[name]
    np.testing.assert_allclose(getattr(attacks, name)(HONEST, **keys), expected, atol=1e-11)


def test_gaussian_numbers_have_their_mean_and_deviation():
    numbers = attacks.gaussian(np.zeros((2, 100_000)), np.random.default_rng(0), 0.5, 2.0)
    np.testing.assert_allclose([numbers.mean(), numbers.std()], [0.5, 2.0], atol=0.03)


def test_only_attackers_rows_are_replaced_and_they_know_only_the_honest():
    weights = np.array([0.1, 0.2, 0.3, 0.4], np.float32)
    leaves = {"w": np.arange(8, dtype=np.float32).reshape(4, 2), "n": np.ones(4, np.float32)}
    sent = {"w": weights[:, None] * leaves["w"], "n": leaves["n"]}
    bounds = lambda c: {"w": Bound(c), "n": Bound(1.0, weighted=False)}  # noqa: E731
    context = RoundContext(0, 1, (2, 4, 5, 9), tuple(weights), bounds)
    seen = []

    def reducer(contributions, context):
        seen.append(contributions)
        return contributions, Traffic(0, 0)

    attack = Attack((4, 7, 9), lambda honest, _: attacks.sign_flipping(honest, 2.0))
    attacked(reducer, attack)(sent, context)
    (arrived,) = seen
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[[0, 2]], b[[0, 2]]), arrived, sent)
    mean = leaves["w"][[0, 2]].mean(axis=0)
    np.testing.assert_allclose(arrived["w"][[1, 3]], -2 * weights[[1, 3], None] * mean)
    np.testing.assert_allclose(arrived["n"][[1, 3]], [-2, -2])


def test_a_round_without_attackers_and_one_of_attackers_alone():
    sent, attack = {"w": np.ones((2, 3), np.float32) / 2}, Attack((1, 2), lambda h, _: -h[0])
    for clients, total in (((0, 3), 1), ((1, 2), -1)):
        context = RoundContext(0, 1, clients, (0.5, 0.5))
        np.testing.assert_allclose(attacked(plain_sum(), attack)(sent, context)[0]["w"], total)


def test_what_an_attacker_draws_follows_from_seed_round_and_client():
    sent = {"w": np.ones((3, 4), np.float32) / 3}
    reduce = attacked(plain_sum(), Attack((0, 1), attacks.gaussian))

    def total(*place):
        return np.asarray(reduce(sent, RoundContext(*place, (0, 1, 2), (1 / 3,) * 3))[0]["w"])

    np.testing.assert_array_equal(total(0, 1), total(0, 1))
    assert len({total(*place).tobytes() for place in [(0, 1), (0, 2), (1, 1)]}) == 3


def test_flipped_labels_are_the_attackers_alone():
    flipped = poisoned(Attack((1,), poison=attacks.label_flipping), DATASET, PARTITION)
    expected = LABELS.copy()
    expected[PARTITION[1]] = 2 - LABELS[PARTITION[1]]
    np.testing.assert_array_equal(flipped.y_train, expected)
    np.testing.assert_array_equal(flipped.x_train, IMAGES)
    assert poisoned(Attack((), poison=attacks.label_flipping), DATASET, PARTITION) is DATASET


def test_a_backdoor_is_a_patch_with_a_label_and_is_measured_on_other_classes():
    changed = attacks.backdoor(DATASET, PARTITION[1], target=2, side=2, poisoned=0.5)
    patched = PARTITION[1][:2]
    others = np.setdiff1d(np.arange(8), patched)
    assert (changed.x_train[patched][:, -2:, -2:] == IMAGES.max()).all()
    np.testing.assert_array_equal(changed.x_train[patched][:, :2], IMAGES[patched][:, :2])
    np.testing.assert_array_equal(changed.x_train[others], IMAGES[others])
    assert (changed.y_train[patched] == 2).all()
    ((x, y),) = attacks.attack_success(DATASET, target=2, side=2).values()
    assert len(x) == 4
    assert (y == 2).all()
    with pytest.raises(ConfigError, match="samples have shape"):
        attacks.triggered(IMAGES.reshape(8, 16), 2, 1.0)
