"""The handshake: what a site says of itself when it comes, and whether it may take part."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from fedket._version import __version__

PROTOCOL = 1
"""Version of what parties say to each other: actions, fields, what is masked with what. Parties of
different releases of fedket that have the same one work together."""

Handshake = Mapping[str, object]
"""name, client, version, protocol, experiment, samples, classes, features: whatever arrived."""

MOST = 10**9
"""Samples, classes and values of a sample that a site may say it has."""


class SessionTerms(NamedTuple):
    """What is settled when a run begins.

    Attributes:
        name: Of this start of the run.
        classes: Classes of all sites together.
        largest: Samples of the largest site.
        shape: Of one sample.
        samples: Of every site: site -> how many. One that comes later adds its own.
    """

    name: str
    classes: int
    largest: int
    shape: tuple[int, ...]
    samples: dict[int, int]


def problem_of(said: Handshake, name: str, client: int, experiment: str) -> str:
    """Why a site cannot take part, or nothing.

    Args:
        said: Its handshake.
        name: How the federation calls it.
        client: Its number there.
        experiment: Fingerprint of the experiment that all must have.
    """
    checks: list[tuple[str, object, object]] = [
        ("version of the protocol between parties", PROTOCOL, said.get("protocol")),
        ("name", name, said.get("name")),
        ("number", client, said.get("client")),
        ("experiment's fingerprint", experiment, said.get("experiment")),
    ]
    for what, wanted, arrived in checks:
        if wanted != arrived or type(wanted) is not type(arrived):
            older = f" (fedket {_cut(said.get('version'))} there, {__version__} here)"
            hint = older if wanted is PROTOCOL else ""
            return f"its {what} is {_cut(arrived)}, the federation's is {wanted!r}{hint}"
    for count in ("samples", "classes"):
        if not isinstance(said.get(count), int):
            return f"its `{count}` is {_cut(said.get(count))}, which is not a number"
        if number_in(said, count) < 1:
            return f"it has no {count}"
        if number_in(said, count) > MOST:
            return f"its `{count}` is {_cut(said.get(count))}, which is more than {MOST}"
    if not shape_in(said):
        return f"its `features` is {_cut(said.get('features'))}, which is not the shape of a sample"
    return ""


def misfit_of(said: Handshake, client: int, terms: SessionTerms) -> str:
    """Why an accepted site does not fit what the run began with, or nothing."""
    if problem := misshape_of(said, terms.shape):
        return problem
    if number_in(said, "classes") > terms.classes:
        return (
            f"it has labels up to {number_in(said, 'classes') - 1}, the run began with labels up "
            f"to {terms.classes - 1}: correct them, or begin another run with this site in it"
        )
    count = number_in(said, "samples")
    if (agreed := terms.samples.setdefault(client, count)) != count:
        return (
            f"it has {count} samples, the run began with {agreed}; give it those again, or start "
            "the run again when the site is there"
        )
    return ""


def misshape_of(said: Handshake, shape: tuple[int, ...]) -> str:
    """Why a site's samples do not fit the others', or nothing."""
    if shape_in(said) == shape:
        return ""
    return f"its samples have shape {list(shape_in(said))}, the federation's have {list(shape)}"


def common_shape(handshakes: Iterable[Handshake]) -> tuple[int, ...]:
    """The shape of a sample that most sites have, the first of them where as many have another."""
    counted = Counter(shape_in(said) for said in handshakes).most_common(1)
    return counted[0][0] if counted else ()


def number_in(said: Handshake, name: str) -> int:
    """A number in a handshake that was accepted."""
    value = said[name]
    return value if isinstance(value, int) else 0


def shape_in(said: Handshake) -> tuple[int, ...]:
    """The shape of a sample; empty if that is none."""
    shape = said.get("features")
    if not isinstance(shape, list) or not all(isinstance(n, int) and n > 0 for n in shape):
        return ()
    return tuple(shape) if math.prod(shape) <= MOST else ()


def _cut(arrived: object) -> str:
    """What arrived, as far as it fits a line."""
    return f"{arrived!r:.80}"
