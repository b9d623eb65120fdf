"""Personal layers: parameters that stay at each client, under any strategy for the others.

A shared body with heads of the clients' own is FedPer (Arivazhagan et al. 2019, arXiv:1912.00818);
own bodies under a shared head are LG-FedAvg (Liang et al. 2020, arXiv:2001.01523). The strategy
sees trees without the personal leaves, path -> leaf, so they are in no update, no message and no
key. In the global model these leaves stay as they began.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax.tree_util import Partial

from fedket.errors import ConfigError
from fedket.types import (
    Broadcast,
    ClientMemory,
    ClientResult,
    Contribution,
    Params,
    Retrain,
    ServerState,
    Strategy,
)

Part = dict[str, Any]
"""Some leaves of the parameters: dotted path -> leaf."""


class PersonalMemory(NamedTuple):
    """What a client keeps.

    Attributes:
        own: Its personal leaves.
        inner: Memory of the strategy for the others.
    """

    own: Part
    inner: Any = ()


class Split(NamedTuple):
    """Which leaves of which tree are personal."""

    structure: Any
    paths: tuple[str, ...]
    personal: frozenset[str]

    def part(self, params: Params, personal: bool) -> Part:
        """The personal leaves, or the others."""
        leaves = zip(self.paths, jax.tree.leaves(params), strict=True)
        return {path: leaf for path, leaf in leaves if (path in self.personal) == personal}

    def whole(self, *parts: Part) -> Params:
        """The tree of which these are all parts."""
        leaves = {path: leaf for part in parts for path, leaf in part.items()}
        return jax.tree.unflatten(self.structure, [leaves[path] for path in self.paths])


def personal_layers(strategy: Strategy, paths: tuple[str, ...], params: Params) -> Strategy:
    """Keep some parameters at the clients.

    Args:
        strategy: For all other parameters.
        paths: Which stay: `head` is all below the key `head`, `linear1.bias` one array.
        params: Parameters of the model, or their shapes.

    Raises:
        ConfigError: There is no such parameter, nothing would be shared, or the strategy keeps
            whole models at clients itself.
    """
    split = _split(paths, params)
    if strategy.memory is not None and strategy.memory.personal is not None:
        raise ConfigError(
            "personal layers do not go with a strategy whose clients keep whole models of their "
            "own, such as `ditto`; choose one of the two"
        )
    return strategy._replace(
        init=Partial(_init, split, strategy.init),
        contribute=Partial(_contribute, split, strategy.contribute),
        apply=Partial(_apply, split, strategy.apply),
        broadcast=Partial(_broadcast, split, strategy.broadcast),
        measure=strategy.measure and Partial(_measure, split, strategy.measure),
        memory=_memory(split, strategy.memory),
        averages=False,
    )


def _split(paths: tuple[str, ...], params: Params) -> Split:
    leaves = jax.tree_util.tree_leaves_with_path(params)
    names = tuple(jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in leaves)
    personal: set[str] = set()
    for path in paths:
        found = {name for name in names if name == path or name.startswith(f"{path}.")}
        if not found:
            raise ConfigError(
                f"federation.personal: the model has no parameters `{path}`; it has "
                f"{', '.join(name or 'a single array' for name in names)}"
            )
        personal |= found
    if len(personal) == len(names):
        raise ConfigError(
            "federation.personal names all parameters of the model, so that nothing is shared; "
            "leave some out"
        )
    return Split(jax.tree.structure(params), names, frozenset(personal))


def _init(split: Split, inner: Callable[..., Any], params: Params) -> ServerState:
    return inner(split.part(params, personal=False))


def _broadcast(
    split: Split, inner: Callable[..., Broadcast], server: ServerState, params: Params
) -> Broadcast:
    return inner(server, split.part(params, personal=False))


def _contribute(
    split: Split, inner: Callable[..., Any], params: Part, result: ClientResult
) -> Contribution:
    return inner(params, _shared(split, result))


def _apply(
    split: Split,
    inner: Callable[..., tuple[ServerState, Part]],
    server: ServerState,
    params: Params,
    total: Contribution,
) -> tuple[ServerState, Params]:
    server, shared = inner(server, split.part(params, personal=False), total)
    return server, split.whole(shared, split.part(params, personal=True))


def _measure(split: Split, inner: Callable[..., Params], *given: Any) -> Part:
    return split.part(inner(*given), personal=False)


def _shared(split: Split, result: ClientResult) -> ClientResult:
    """What the strategy sees of a client's result."""
    gradient = result.gradient and split.part(result.gradient, personal=False)
    params = split.part(result.params, personal=False)
    return result._replace(params=params, gradient=gradient, memory=result.memory.inner)


def _memory(split: Split, inner: ClientMemory | None) -> ClientMemory:
    correct = inner and inner.correct and Partial(_correct, split, inner.correct)
    return ClientMemory(
        Partial(_first, split, inner and inner.init),
        Partial(_update, split, inner and inner.update),
        correct,
        inner is not None and inner.mean_gradient,
        start=Partial(_own, split),
        personal=Partial(_own, split),
    )


def _first(split: Split, inner: Callable[..., Any] | None, params: Params) -> PersonalMemory:
    shared = split.part(params, personal=False)
    return PersonalMemory(split.part(params, personal=True), () if inner is None else inner(shared))


def _update(
    split: Split,
    inner: Callable[..., Any] | None,
    sent: Broadcast,
    result: ClientResult,
    retrain: Retrain,
) -> PersonalMemory:
    own = split.part(result.params, personal=True)
    return PersonalMemory(
        own, () if inner is None else inner(sent, _shared(split, result), retrain)
    )


def _correct(
    split: Split,
    inner: Callable[..., Part],
    sent: Broadcast,
    memory: PersonalMemory,
    w: Params,
    gradient: Params,
) -> Params:
    parts = (split.part(tree, personal=False) for tree in (w, gradient))
    return split.whole(inner(sent, memory.inner, *parts), split.part(gradient, personal=True))


def _own(split: Split, sent: Broadcast, memory: PersonalMemory) -> Params:
    return split.whole(sent.params, memory.own)
