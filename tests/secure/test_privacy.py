"""Clipped, rotated, rounded and noised sums: what they keep, and what one client can change."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fedket.errors import ConfigError, ProtocolError, RoundLostError
from fedket.keys import OsRandomSource
from fedket.secure import (
    in_process,
    pairwise_protocol,
    quantised_protocol,
    reduce_in_process,
    server_side,
    shared_masks_protocol,
)
from fedket.secure.privacy import (
    Budget,
    Mechanism,
    epsilon_of,
    plan_noise,
    plan_of,
    private_protocol,
    private_sum,
)
from fedket.secure.privacy.coder import coder_of
from fedket.secure.privacy.rotation import hadamard, mixed, rotate, rotate_back
from fedket.types import Bound, RoundContext

CLIENTS, VALUES, CLIP = 5, 96, 0.5
KINDS = ("skellam", "discrete_gaussian", "gaussian", "local_gaussian")
PROTOCOLS = {
    "quantised": lambda: quantised_protocol(8, 1.0, modulus="safe"),
    "pairwise_masks": lambda: pairwise_protocol(16, 1.0),
    "shared_masks": lambda: shared_masks_protocol(8, 1.0, colluders=1, threshold=3),
}


def updates(seed=0, length=0.4, clients=CLIENTS, values=VALUES):
    """Equally weighted updates of the same norm, as a pytree with a row per client."""
    rows = np.random.default_rng(seed).normal(size=(clients, values))
    rows *= length / np.linalg.norm(rows, axis=1, keepdims=True) / clients
    rows = jnp.asarray(rows, jnp.float32)
    return {"angles": rows[:, :-4].reshape(clients, -1, 4), "bias": rows[:, -4:]}


def a_round(clients=CLIENTS, bounds=None, round_num=1):
    context = RoundContext(7, round_num, tuple(range(clients)), (1 / clients,) * clients)
    return context if bounds is None else context._replace(bounds=bounds)


def mechanism(kind="skellam", noise=1.0, entropy=None, **changes):
    survivors = CLIENTS if kind in ("skellam", "discrete_gaussian") else 1
    made = Mechanism(kind, CLIP, noise, CLIENTS, survivors)._replace(**changes)
    return made._replace(entropy=entropy or np.random.default_rng(5).bytes)


def reducer_of(aggregation, made):
    if aggregation == "plain":
        return private_sum(made)
    protocol = private_protocol(PROTOCOLS[aggregation](), made)
    return reduce_in_process(protocol, OsRandomSource())


def flat(tree):
    return np.concatenate([np.asarray(leaf, float).reshape(-1) for leaf in jax.tree.leaves(tree)])


def mean(tree):
    return flat(jax.tree.map(lambda leaf: leaf.sum(0), tree))


def silent(first, action, last=None):
    """Some clients never answer a request."""
    return lambda _, client, asked: not (first <= client <= (last or first) and asked == action)


SUITING = [(a, k) for a in PROTOCOLS for k in KINDS] + [("plain", k) for k in KINDS[2:]]


@pytest.mark.parametrize(("aggregation", "kind"), SUITING)
def test_without_noise_the_sum_is_the_plain_one_to_rounding(aggregation, kind):
    tree, context = updates(), a_round()
    total, traffic = reducer_of(aggregation, mechanism(kind, 0.0))(tree, context)
    np.testing.assert_allclose(flat(total), mean(tree), atol=0.02 * CLIP)
    assert traffic.num_clipped_updates == 0
    assert jax.tree.map(jnp.shape, total) == {"angles": (VALUES // 4 - 1, 4), "bias": (4,)}


@pytest.mark.parametrize(("aggregation", "kind"), SUITING)
def test_noise_on_the_mean_has_the_deviation_that_was_asked_for(aggregation, kind):
    tree, noise = updates(), 2.0
    off = flat(reducer_of(aggregation, mechanism(kind, noise))(tree, a_round())[0]) - mean(tree)
    wanted = noise * CLIP / CLIENTS * (math.sqrt(CLIENTS) if kind == "local_gaussian" else 1)
    assert np.std(off) == pytest.approx(wanted, rel=5 / math.sqrt(2 * VALUES))
    assert abs(off.mean()) < 4 * wanted / math.sqrt(VALUES)


def test_all_clients_weigh_the_same_and_a_long_update_is_scaled_to_the_clip():
    tree = jax.tree.map(lambda leaf: leaf * CLIENTS, updates(length=2.0))  # without weights
    weights = (0.5, 0.2, 0.1, 0.1, 0.1)
    context = a_round()._replace(weights=weights)
    shares = np.array(weights, np.float32)
    weighted = jax.tree.map(lambda leaf: leaf * shares.reshape(-1, *[1] * (leaf.ndim - 1)), tree)
    total, traffic = private_sum(mechanism("gaussian", 0.0))(weighted, context)
    np.testing.assert_allclose(flat(total), mean(tree) / CLIENTS * CLIP / 2.0, rtol=1e-3, atol=1e-6)
    assert traffic.num_clipped_updates == CLIENTS


@pytest.mark.parametrize("length", [0.01, 0.5, 100.0])
@pytest.mark.parametrize("kind", KINDS)
def test_no_client_changes_the_sum_by_more_than_what_is_accounted_for(kind, length):
    """Also with leaves of other bounds, as QFedFisher's: all of it is clipped together."""

    def bounds(clip):
        return {"angles": Bound(1.0, weighted=False), "bias": Bound(clip)}

    made, context = mechanism(kind, 0.0), a_round(bounds=bounds)
    plan = plan_noise(made, VALUES, 2**12)
    coder = coder_of(made, context, VALUES, 2**12)
    for seed in range(5):
        one = jax.tree.map(lambda leaf: leaf[2] * CLIENTS, updates(seed, length))
        integers = coder.encode(2, one).integers
        assert math.sqrt(integers @ integers) <= plan.l2


def test_rounding_is_unbiased():
    made = mechanism("gaussian", 0.0)
    coder = coder_of(made, a_round(), VALUES, 2**9)
    one = jax.tree.map(lambda leaf: leaf[0], updates())
    drawn = [flat(coder.decode(one, coder.encode(0, one).integers)) for _ in range(100)]
    scale = plan_noise(made, VALUES, 2**9).scale
    off = np.mean(drawn, axis=0) - flat(one)
    assert np.abs(off).max() < 5 * 0.5 / scale / CLIENTS / math.sqrt(100)


@pytest.mark.parametrize("values", [1, 2, 3, 72, 100, 128])
def test_the_rotation_keeps_norms_spreads_coordinates_and_is_undone(values):
    rng = np.random.default_rng(values)
    one = rng.normal(size=values)
    np.testing.assert_allclose(rotate_back(rotate(one, (1,)), (1,)), one, atol=1e-12)
    assert np.linalg.norm(rotate(one, (1,))) == pytest.approx(np.linalg.norm(one))
    for place in range(values):
        spike = np.zeros(values)
        spike[place] = 1
        assert np.abs(rotate(spike, (2,))).max() <= min(1, 4.5 / math.sqrt(mixed(values))) + 1e-12


def test_the_transform_is_walsh_and_hadamards():
    from scipy.linalg import hadamard as matrix

    one = np.random.default_rng(0).normal(size=32)
    np.testing.assert_allclose(hadamard(one), matrix(32) @ one / math.sqrt(32), atol=1e-12)


@pytest.mark.parametrize("kind", ["skellam", "discrete_gaussian"])
def test_noise_is_enough_from_the_honest_survivors_alone(kind):
    """Of 5 clients 4 are sure to be in a sum and one of them tells its noise: 3 must do."""
    few = plan_noise(mechanism(kind, survivors=4, colluders=1), VALUES, 2**15)
    assert 3 * few.client.deviation**2 == pytest.approx((CLIP * few.scale) ** 2)


@pytest.mark.parametrize("aggregation", ["quantised", "shared_masks"])
def test_a_sum_over_fewer_clients_than_the_noise_was_made_for_is_not_opened(aggregation):
    def reduce(survivors):
        made = mechanism("skellam", survivors=survivors)
        protocol = private_protocol(PROTOCOLS[aggregation](), made)
        return reduce_in_process(protocol, OsRandomSource(), answers=silent(3, "upload"))

    with pytest.raises(RoundLostError):
        reduce(5)(updates(), a_round())
    total, traffic = reduce(4)(updates(), a_round())
    assert list(traffic.missing) == [3]
    assert np.isfinite(flat(total)).all()


def test_clients_refuse_a_group_that_is_too_small_whatever_the_server_says(monkeypatch):
    """A server over three of four that need four is lost; one that says nothing of it, as well."""
    made = mechanism("skellam", survivors=4)
    three = private_protocol(PROTOCOLS["pairwise_masks"](), made._replace(survivors=3))

    def reduce(protocol):
        answers = silent(3, "ready", 4)
        return reduce_in_process(protocol, OsRandomSource(), answers=answers)

    total, _ = reduce(three)(updates(), a_round())
    assert np.isfinite(flat(total)).all()
    four = private_protocol(PROTOCOLS["pairwise_masks"](), made)
    with pytest.raises(RoundLostError, match="3 clients left, 4 are the least"):
        reduce(four)(updates(), a_round())
    lying = lambda _, *about: server_side(three, *about)  # noqa: E731
    monkeypatch.setattr(in_process, "server_side", lying)
    with pytest.raises(RoundLostError, match="refuses a sum over 3 clients"):
        reduce(four)(updates(), a_round())


def test_a_budget_decides_the_noise():
    plan = plan_noise(mechanism(noise=Budget(3.0, 1e-5, 20)), VALUES, 2**15)
    assert 2.97 < epsilon_of(20 * plan.curve, 1e-5) <= 3.0


def test_words_that_are_too_small_for_the_noise_are_refused_in_one_line():
    small = quantised_protocol(8, 1.0)
    with pytest.raises(ConfigError, match="use more bits") as error:
        plan_of(mechanism()._replace(cohort=50, survivors=50), small, 61_706)
    assert "\n" not in str(error.value)


def test_updates_that_are_not_finite_are_never_noised():
    coder = coder_of(mechanism(), a_round(), VALUES, 2**15)
    one = jax.tree.map(lambda leaf: leaf[0] * np.nan, updates())
    with pytest.raises(ProtocolError, match="not finite"):
        coder.encode(0, one)


def test_a_wrap_around_is_as_unlikely_as_is_said():
    """All updates the same is the worst case; a chance of 1e-6 is not seen in 20 rounds."""
    same = jax.tree.map(lambda leaf: jnp.stack([leaf[0]] * CLIENTS), updates(length=CLIP))
    made = mechanism("skellam", 0.5)
    reduce = reduce_in_process(private_protocol(quantised_protocol(8, 1.0, modulus="safe"), made))
    wanted = 0.5 * CLIP / CLIENTS
    for round_num in range(1, 21):
        off = flat(reduce(same, a_round(round_num=round_num))[0]) - mean(same)
        assert np.abs(off).max() < 7 * wanted
