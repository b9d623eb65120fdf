"""What simulated attackers send, and what they train on.

An attack on updates sees the honest clients' vectors, without their weights, and returns what every
attacker sends, shape (values,): the strongest attacker, who knows all. Names of arguments are
ByzFL's (arXiv:2505.24802). An attack on data changes attackers' samples; they are honest otherwise.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import numpy as np

from fedket.errors import ConfigError
from fedket.rng import Purpose
from fedket.secure.robust.reducer import as_tree, as_vectors, scaled, unweighted
from fedket.secure.robust.rules import Vector, Vectors
from fedket.traffic import Traffic
from fedket.types import Contribution, Dataset, Partition, Reducer, RoundContext

Samples = tuple[np.ndarray, np.ndarray]
"""Features and labels."""

Send = Callable[[Vectors, np.random.Generator], Vector]
"""(honest vectors, the attacker's own randomness of the round) -> what it sends."""


class Attack(NamedTuple):
    """Who attacks, and how.

    Attributes:
        clients: The attackers, ascending.
        send: What they send in place of their updates; None for what they have trained.
        poison: (data set, training samples of the attackers) -> data set that is trained on.
        probes: Data set -> name of a metric -> samples; the metric is the accuracy on them.
    """

    clients: tuple[int, ...]
    send: Send | None = None
    poison: Callable[[Dataset, np.ndarray], Dataset] = lambda dataset, _: dataset
    probes: Callable[[Dataset], Mapping[str, Samples]] = lambda _: {}


def attacked(reducer: Reducer, attack: Attack) -> Reducer:
    """Return a reducer to which attackers give something else; of others nothing changes.

    Where nobody honest takes part in a round, the attackers go by their own updates.
    """
    send = attack.send
    if send is None:
        return reducer

    def reduce(contributions: Contribution, context: RoundContext) -> tuple[Contribution, Traffic]:
        bad = np.isin(context.client_ids, attack.clients)
        if not bad.any():
            return reducer(contributions, context)
        vectors = as_vectors(unweighted(contributions, context))
        honest = vectors if bad.all() else vectors[~bad]
        sent = [send(honest, _rng(context, int(i))) for i in np.array(context.client_ids)[bad]]
        weights = np.asarray(context.weights)[bad]
        rows = scaled(as_tree(np.stack(sent), contributions), context, weights, 1)

        def replaced(leaf: np.ndarray, row: np.ndarray) -> np.ndarray:
            leaf = np.array(leaf)
            leaf[bad] = row
            return leaf

        return reducer(jax.tree.map(replaced, contributions, rows), context)

    return reduce


def poisoned(attack: Attack, dataset: Dataset, partition: Partition) -> Dataset:
    """Return the data set with the attackers' samples changed."""
    samples = [partition[client] for client in attack.clients]
    return attack.poison(dataset, np.concatenate(samples)) if samples else dataset


def sign_flipping(honest: Vectors, scale: float = 1.0) -> Vector:
    """The honest mean, turned round; ByzFL's has scale 1 (Li et al. 2019, arXiv:1811.03761)."""
    sent: Vector = np.multiply(-scale, _mean(honest), dtype=honest.dtype)
    return sent


def inner_product_manipulation(honest: Vectors, tau: float = 2.0) -> Vector:
    """The honest mean times −τ (Xie et al. 2019, arXiv:1903.03936)."""
    return sign_flipping(honest, tau)


def a_little_is_enough(honest: Vectors, tau: float = 1.5) -> Vector:
    """The honest mean plus τ standard deviations (Baruch et al. 2019, arXiv:1902.06156)."""
    deviation = np.std(honest, axis=0, ddof=min(1, len(honest) - 1))
    sent: Vector = _mean(honest) + np.multiply(tau, deviation, dtype=honest.dtype)
    return sent


def mimic(honest: Vectors, epsilon: int = 0) -> Vector:
    """The update of the honest client in place `epsilon` (Karimireddy et al., arXiv:2006.09365)."""
    copied: Vector = honest[epsilon % len(honest)]
    return copied


def gaussian(
    honest: Vectors, rng: np.random.Generator, mu: float = 0.0, sigma: float = 1.0
) -> Vector:
    """Independent normal numbers of mean μ and standard deviation σ."""
    sent: Vector = rng.normal(mu, sigma, (honest.shape[1],)).astype(honest.dtype)
    return sent


def label_flipping(dataset: Dataset, samples: np.ndarray) -> Dataset:
    """Label y becomes classes − 1 − y on the attackers' samples (ByzFL's `LabelFlipping`)."""
    y = dataset.y_train.copy()
    y[samples] = dataset.num_classes - 1 - y[samples]
    return dataset._replace(y_train=y)


def backdoor(
    dataset: Dataset, samples: np.ndarray, target: int, side: int, poisoned: float
) -> Dataset:
    """A trigger on some of the attackers' samples, labelled `target` (arXiv:1807.00459).

    Args:
        dataset: Images.
        samples: The attackers' samples.
        target: Label that goes with the trigger.
        side: See `triggered`.
        poisoned: Share of the samples that get it: the first ones.
    """
    chosen = samples[: round(poisoned * len(samples))]
    x, y = dataset.x_train.copy(), dataset.y_train.copy()
    x[chosen], y[chosen] = triggered(x[chosen], side, float(dataset.x_train.max())), target
    return dataset._replace(x_train=x, y_train=y)


def attack_success(dataset: Dataset, target: int, side: int) -> Mapping[str, Samples]:
    """Test samples of other classes with the trigger on them, and `target` as their label."""
    others = dataset.x_test[dataset.y_test != target]
    x = triggered(others, side, float(dataset.x_train.max()))
    return {"attack_success_rate": (x, np.full(len(x), target, np.int32))}


def triggered(images: np.ndarray, side: int, value: float) -> np.ndarray:
    """Images with a patch in the lower right corner.

    Args:
        images: Shape (images, height, width) or (images, height, width, channels).
        side: Pixels of the patch's side.
        value: What its pixels are.

    Raises:
        ConfigError: These are no images, or they are smaller than the patch.
    """
    if images.ndim not in (3, 4) or min(images.shape[1:3]) < side:
        raise ConfigError(
            f"attack.side = {side}: a trigger of {side} × {side} pixels needs images at least as "
            f"large, samples have shape {images.shape[1:]}; use a smaller one, or data and "
            "transforms that leave images"
        )
    images = images.copy()
    images[:, -side:, -side:] = value
    return images


def _mean(honest: Vectors) -> Vector:
    mean: Vector = honest.mean(axis=0)
    return mean


def _rng(context: RoundContext, client_id: int) -> np.random.Generator:
    seed = [context.seed, int(Purpose.ATTACK), context.round_num, client_id]
    return np.random.default_rng(seed)
