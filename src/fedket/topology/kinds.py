"""The graphs that an experiment without a centre may name."""

import re
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from fedket.errors import ConfigError
from fedket.rng import Purpose, numpy_seed
from fedket.schema import NonNegativeInt, PositiveInt
from fedket.section import Context, Section
from fedket.topology.graph import (
    Pair,
    Topology,
    complete,
    make_topology,
    random_regular,
    ring,
    torus,
)


def read_edge(text: str, key: str) -> Pair:
    """Two clients written as `0-1`, the smaller first.

    Args:
        text: As written.
        key: The key it stands in, for messages.

    Raises:
        ConfigError: It is not two numbers.
    """
    found = re.fullmatch(r"(\d{1,9})-(\d{1,9})", text)
    if found is None:
        raise ConfigError(f'`{key}` holds pairs of clients such as "0-1", got "{text[:40]}"')
    a, b = int(found[1]), int(found[2])
    return min(a, b), max(a, b)


class GraphConfig(Section):
    """Keys of every graph; `build` returns a `Topology`."""

    def caveats(self) -> tuple[str, ...]:
        """What the global model is."""
        return (
            "Each client has a model of its own. The global model is their mean, which nobody has: "
            "the simulation works it out.",
        )


class RingConfig(GraphConfig):
    """A ring: each client and those next to it."""

    kind: Literal["ring"] = "ring"
    reach: PositiveInt = 1
    """To how many on either side."""

    def build(self, context: Context) -> Topology:
        """The graph."""
        return ring(context.num_clients, self.reach)


class TorusConfig(GraphConfig):
    """A grid whose opposite borders are joined: four neighbours each."""

    kind: Literal["torus"] = "torus"
    rows: NonNegativeInt = 0
    """0 makes it as square as the number of clients allows."""

    def build(self, context: Context) -> Topology:
        """The graph."""
        return torus(context.num_clients, self.rows)


class RandomRegularConfig(GraphConfig):
    """A random graph, drawn from the seed, in which all have equally many neighbours."""

    kind: Literal["random_regular"] = "random_regular"
    degree: PositiveInt = 4
    """Neighbours of each client; clients × degree must be even."""

    def build(self, context: Context) -> Topology:
        """The graph."""
        rng = np.random.default_rng(numpy_seed(context.seed, Purpose.GRAPH))
        return random_regular(context.num_clients, self.degree, rng)


class CompleteConfig(GraphConfig):
    """All with all: a federation that averages as a server would."""

    kind: Literal["complete"] = "complete"

    def build(self, context: Context) -> Topology:
        """The graph."""
        return complete(context.num_clients)


class EdgesConfig(GraphConfig):
    """The edges themselves."""

    kind: Literal["edges"] = "edges"
    edges: Annotated[tuple[str, ...], Field(min_length=1)]
    """Pairs of clients, such as `"0-1"`."""

    def build(self, context: Context) -> Topology:
        """The graph."""
        edges = [read_edge(text, "graph.edges") for text in self.edges]
        return make_topology(context.num_clients, edges, "given edges")


class QkdLinksConfig(GraphConfig):
    """Those are neighbours who share a QKD link: `keys.links`."""

    kind: Literal["qkd_links"] = "qkd_links"

    def build(self, context: Context) -> Topology:
        """The graph."""
        if context.links is None:
            raise ConfigError(
                'graph.kind = "qkd_links" takes the links of the key source, and this one joins '
                'all clients: give keys.kind = "simulated" its keys.links, or use "complete"'
            )
        return make_topology(context.num_clients, sorted(context.links), "QKD links")
