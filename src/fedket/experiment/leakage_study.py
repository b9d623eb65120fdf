"""How much of an experiment's samples a curious server reads out of what it sees."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from fedket.errors import ConfigError
from fedket.experiment.aggregation import first_context
from fedket.experiment.build import build_learning, load_samples, precision
from fedket.experiment.config import ExperimentConfig
from fedket.federated.losses import Loss
from fedket.federated.program import Program
from fedket.leakage.inversion import Inversion, cosine, invert_gradients, match_guesses
from fedket.leakage.membership import auc, gradient_scores
from fedket.leakage.views import Vectors, client_gradients, clipped, group_sums, noisy
from fedket.rng import Purpose, numpy_seed, rng_for
from fedket.secure.privacy.accounting import gaussian_epsilon
from fedket.types import Model, Params

MASKED = "masked"
CANDIDATES = 50
"""Samples of a label among which a guess is to point out the true one."""


class LeakagePoint(NamedTuple):
    """What is read out of one kind of view.

    Attributes:
        view: `sum`, of as many clients as said; or `masked`, one client's words behind a mask.
        clients: Clients in a sum.
        noise_multiplier: Standard deviation of noise on a sum, in parts of what one client can
            add; updates are clipped to their median norm where it is not 0.
        epsilon: What all rounds together cost with that noise, at `delta`; None without noise.
        correlation: Mean correlation of samples with what is read out, the mean sample apart.
        correlation_se: Its standard error over samples.
        identified: Share of samples that their guess points out among `CANDIDATES` of their label.
        membership_auc: Chance that a member is told from another sample; 1/2 by chance.
        chance_correlation: What random guesses would get: of many guesses, the best are matched.
        chance_identified: Likewise.
        colluders: Clients of a noisy sum that work with the server: they subtract what they sent.
    """

    view: str
    clients: int
    noise_multiplier: float
    epsilon: float | None
    correlation: float
    correlation_se: float
    identified: float
    membership_auc: float
    chance_correlation: float
    chance_identified: float
    colluders: int = 0

    @property
    def name(self) -> str:
        """The view, in words."""
        if self.view == MASKED:
            return "one client, masked"
        if self.colluders:
            return f"{self.colluders} of {self.clients} collude"
        return "one client" if self.clients == 1 else f"sum of {self.clients}"


def measure_leakage(
    config: ExperimentConfig,
    sizes: Sequence[int],
    multipliers: Sequence[float] = (),
    *,
    num_victims: int = 16,
    samples_each: int = 1,
    effort: Inversion = Inversion(),  # noqa: B008 - immutable
    delta: float = 1e-5,
    colluders: int = 0,
    expected: int = 0,
) -> list[LeakagePoint]:
    """Attack what a server sees of clients that take one step of SGD from the first model.

    Args:
        config: The experiment: samples, model and loss are its own.
        sizes: Clients in a sum; 1 is a plain update.
        multipliers: Noise multipliers, on sums of the most clients of `sizes`.
        num_victims: Clients that are attacked; a multiple of each size.
        samples_each: Samples of a client.
        effort: How hard is tried.
        delta: For ε.
        colluders: Clients of each noisy sum that work with the server: they subtract their own
            updates and noise, the others' are attacked.
        expected: How many of them the noise was made for (`privacy.colluders`): all others add
            what is enough without theirs. Of more colluders ε says nothing.

    Raises:
        ConfigError: There are too few samples, sizes do not divide the victims, or nobody is
            honest.
    """
    if max(colluders, expected) >= max(sizes):
        raise ConfigError(
            f"of sums of {max(sizes)} clients {max(colluders, expected)} collude, which leaves "
            f"nobody to attack; use at most {max(sizes) - 1}"
        )
    for size in (*sizes, max(sizes) - colluders):
        if size < 1 or num_victims % size:
            raise ConfigError(
                f"{num_victims} victims do not make whole sums of {size} clients; use sizes that "
                "divide them"
            )
    with precision(config):
        target = _target(config, num_victims, samples_each)
        attack = partial(_attack, target, config.seed, effort)
        points = [
            LeakagePoint("sum", size, 0.0, None, *attack(group_sums(target.updates, size)))
            for size in sizes
        ]
        rng = np.random.default_rng(numpy_seed(config.seed, Purpose.LEAKAGE))
        points.append(LeakagePoint(MASKED, 1, 0.0, None, *attack(_masked(target, rng))))
        for z in multipliers:
            epsilon = gaussian_epsilon(z, delta, config.federation.rounds)
            size = max(sizes)
            left = _noised(target, size - colluders, z / (size - expected) ** 0.5, rng)
            points.append(LeakagePoint("sum", size, z, epsilon, *attack(left), colluders))
    return points


class _Target(NamedTuple):
    """What is attacked: `members` are rows of samples, shape (clients, samples each)."""

    model: Model
    loss: Loss
    params: Params
    x: Array
    y: Array
    members: np.ndarray
    others: np.ndarray
    updates: Vectors


def _target(config: ExperimentConfig, num_victims: int, samples_each: int) -> _Target:
    context = first_context(config)
    samples, dtype = load_samples(config, context), config.engine.dtype
    model, training, _ = build_learning(
        config, context._replace(dataset=samples), largest=samples_each
    )
    rng = np.random.default_rng(numpy_seed(config.seed, Purpose.LEAKAGE))
    count, available = num_victims * samples_each, len(samples.y_train)
    if 2 * count > available:
        raise ConfigError(
            f"{count} samples of victims and as many others are needed, the training set has "
            f"{available}; use fewer victims or samples"
        )
    members, others = rng.permutation(available)[: 2 * count].reshape(2, -1)
    x, y = jnp.asarray(samples.x_train, dtype), jnp.asarray(samples.y_train)
    params = model.init(rng_for(config.seed, Purpose.INIT))
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), params)
    members = members.reshape(num_victims, samples_each)
    gradients = jax.jit(partial(client_gradients, model, training.loss))
    updates = gradients(params, x[members], y[members])
    return _Target(model, training.loss, params, x, y, members, others, updates)


def _masked(target: _Target, rng: np.random.Generator) -> Vectors:
    """Behind one-time pads a client's words are uniform, whatever its update."""
    scale = float(jnp.abs(target.updates).max())
    return jnp.asarray(rng.uniform(-scale, scale, target.updates.shape), target.x.dtype)


def _noised(target: _Target, size: int, each: float, rng: np.random.Generator) -> Vectors:
    """Sums of `size` clipped updates, with the noise that each of these clients adds."""
    norm = float(jnp.median(jnp.linalg.norm(target.updates, axis=1)))
    return noisy(group_sums(clipped(target.updates, norm), size), each * size**0.5 * norm, rng)


def _attack(
    target: _Target, seed: int, effort: Inversion, seen: Vectors
) -> tuple[float, float, float, float, float, float]:
    """The last six numbers of a `LeakagePoint`."""
    rows = target.members.reshape(len(seen), -1)
    model, loss, params = target.model, target.loss, target.params
    bounds = target.x.min(axis=0), target.x.max(axis=0)
    rng = rng_for(seed, Purpose.LEAKAGE)
    found = invert_gradients(model, loss, params, seen, target.y[rows], bounds, rng, effort)
    correlations, hits = _compare(target, rows, np.asarray(found))
    random = bounds[0] + (bounds[1] - bounds[0]) * jax.random.uniform(rng, found.shape)
    chance, chance_hits = _compare(target, rows, np.asarray(random))
    scores = Program(_scores, (model, loss))
    of_members = np.asarray(scores(params, seen, target.x[rows.ravel()], target.y[rows.ravel()]))
    of_others = np.asarray(scores(params, seen, target.x[target.others], target.y[target.others]))
    own_view = np.arange(len(seen)).repeat(rows.shape[1])
    inside = of_members[own_view, np.arange(rows.size)]
    return (
        float(correlations.mean()),
        float(correlations.std(ddof=1) / np.sqrt(rows.size)),
        float(hits.mean()),
        auc(inside, of_others.ravel()),
        float(chance.mean()),
        float(chance_hits.mean()),
    )


def _scores(bound: tuple[Model, Loss], params: Params, seen: Vectors, x: Array, y: Array) -> Array:
    return gradient_scores(*bound, params, seen, x, y)


def _compare(
    target: _Target, rows: np.ndarray, guesses: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Each sample's correlation with its guess, and whether that points it out.

    What all samples share does not count: the mean sample is subtracted from both.
    """
    x, y = np.asarray(target.x), np.asarray(target.y)
    mean = x.mean(axis=0)
    correlations, hits = [], []
    for own, found in zip(rows, guesses, strict=True):
        matched = match_guesses(found - mean, x[own] - mean, y[own])
        for row, guess in zip(own, matched, strict=True):
            alike = np.flatnonzero((y == y[row]) & (np.arange(len(y)) != row))[: CANDIDATES - 1]
            cosines = cosine(guess[None], x[np.concatenate([[row], alike])] - mean)[0]
            correlations.append(cosines[0])
            hits.append(cosines[0] > cosines[1:].max(initial=-1))
    return np.array(correlations), np.array(hits)
