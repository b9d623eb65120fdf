"""A graph of one's own: a backbone of hubs, and everybody else at one of them.

Run it with `python examples/extend/graph.py`, or name it: `[graph] kind = "graph.py:Backbone"`.
"""

import fedket as fk


def backbone(num_clients: int, hubs: int) -> fk.Topology:
    """The first clients are hubs, all joined; client i is joined to hub i modulo their number."""
    between = [(a, b) for a in range(hubs) for b in range(a + 1, hubs)]
    spokes = [(i % hubs, i) for i in range(hubs, num_clients)]
    return fk.make_topology(num_clients, between + spokes, f"backbone of {hubs} hubs")


class Backbone(fk.GraphConfig):
    """The keys of `[graph]`."""

    hubs: fk.PositiveInt = 3

    def build(self, context: fk.Context) -> fk.Topology:
        """The graph of the experiment's clients."""
        return backbone(context.num_clients, self.hubs)


if __name__ == "__main__":
    from first import demonstrate

    demonstrate(graph=backbone(10, 3))
