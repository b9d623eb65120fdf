"""Groups of groups: who is in whose group at which level, worked out for one client at a time.

The cohort, put in a random public order, is cut into groups of `group_size` or more at level 0. The
first of each group leads it, and is its item at level 1, where leaders are cut into groups
likewise, and so on up to a level with a single group. Most clients are in one group, the leader of
all levels in log(n) of them.
"""

from bisect import bisect_left
from functools import lru_cache
from typing import NamedTuple

import numpy as np

LEAST_AT_TOP = 4
"""Groups of which the top one is formed: if there were two, one lost would lose the round."""


class Tree(NamedTuple):
    """The groups of a cohort.

    Attributes:
        cohort: Client ids, ascending.
        order: The public order: places in the cohort.
        places: Where in the order each of them is.
        items: Items of each level; those of level 0 are the clients, of others the groups below.
    """

    cohort: tuple[int, ...]
    order: np.ndarray
    places: np.ndarray
    items: tuple[int, ...]

    @property
    def top(self) -> int:
        """The level with a single group."""
        return len(self.items) - 1

    def num_groups(self, level: int) -> int:
        """Groups of a level."""
        return self.items[level + 1] if level < self.top else 1

    def client(self, level: int, item: int) -> int:
        """Who an item is: a client, or the leader of a group of the level below."""
        for below in range(level - 1, -1, -1):
            item = self._first(below, item)
        return self.cohort[int(self.order[item])]

    def members(self, level: int, group: int) -> tuple[int, ...]:
        """Clients of a group, ascending."""
        items = range(self._first(level, group), self._first(level, group + 1))
        return tuple(sorted(self.client(level, item) for item in items))

    def leader(self, level: int, group: int) -> int:
        """Who leads a group."""
        return self.client(level, self._first(level, group))

    def groups_of(self, client_id: int) -> list[int]:
        """The client's group at level 0 and, as long as it leads the one below, at higher ones."""
        item = int(self.places[bisect_left(self.cohort, client_id)])
        found: list[int] = []
        for level in range(len(self.items)):
            group = ((item + 1) * self.num_groups(level) - 1) // self.items[level]
            found.append(group)
            if self._first(level, group) != item:
                break
            item = group
        return found

    def _first(self, level: int, group: int) -> int:
        return group * self.items[level] // self.num_groups(level)


def make_tree(cohort: tuple[int, ...], group_size: int, seed: bytes) -> Tree:
    """Return the groups of a cohort; everybody who knows the arguments gets the same.

    Args:
        cohort: Client ids, ascending.
        group_size: Least items of a group, 2 or more; groups have fewer than twice as many, that
            of the top level `LEAST_AT_TOP` to as many times that number.
        seed: Public randomness, drawn after the cohort is fixed.
    """
    items = [len(cohort)]
    while items[-1] >= LEAST_AT_TOP * group_size:
        items.append(items[-1] // group_size)
    return Tree(cohort, *_permutation(len(cohort), seed), tuple(items))


@lru_cache(maxsize=8)
def _permutation(size: int, seed: bytes) -> tuple[np.ndarray, np.ndarray]:
    """A random order by a hash's stream, so that all platforms agree, and its inverse."""
    order = np.random.default_rng(np.frombuffer(seed, np.uint8)).permutation(size)
    return order, np.argsort(order)
