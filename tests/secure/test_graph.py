"""The graph of Protocol A: who shares pads with whom, and how likely it hides all but one sum."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedket.errors import ConfigError
from fedket.secure.pairwise.graph import (
    Graph,
    choose_degree,
    failure_probability,
    is_connected,
    make_graph,
    neighbours,
    num_edges,
    smallest_degree,
)

seeds = given(seed=st.integers(0, 2**31 - 1))


def components(graph: Graph, members) -> int:
    """Components of the graph on some members, by walking it."""
    left, count = set(members), 0
    while left:
        count += 1
        border = {left.pop()}
        while border:
            border = {j for i in border for j in neighbours(graph, i)} & left
            left -= border
    return count


@pytest.mark.parametrize(
    ("num_clients", "degree"), [(2, 1), (3, 2), (5, 2), (8, 4), (9, 6), (9, 8)]
)
@seeds
def test_everyone_has_the_degree_and_neighbours_are_mutual(num_clients, degree, seed):
    ids = tuple(range(5, 5 + 3 * num_clients, 3))
    graph = make_graph(ids, degree, seed.to_bytes(4))
    around = {i: neighbours(graph, i) for i in ids}
    assert sorted(graph.ring) == list(ids)
    for i, peers in around.items():
        assert len(peers) == degree
        assert list(peers) == sorted(set(peers) - {i})
        assert all(i in around[j] for j in peers)
    assert sum(map(len, around.values())) == 2 * num_edges(num_clients, degree)
    assert components(graph, ids) == 1


@pytest.mark.parametrize(("num_clients", "degree"), [(4, 2), (7, 2), (7, 4), (8, 7), (9, 6)])
def test_members_are_connected_exactly_when_a_walk_reaches_them_all(num_clients, degree):
    graph = make_graph(tuple(range(num_clients)), degree, b"seed")
    for size in range(1, num_clients + 1):
        for members in itertools.combinations(range(num_clients), size):
            assert is_connected(graph, members) == (components(graph, members) == 1)


@pytest.mark.parametrize(("num_clients", "num_bad", "degree"), [(7, 3, 2), (8, 4, 4), (9, 6, 4)])
def test_the_failure_probability_is_the_share_of_cohorts_that_fall_apart(
    num_clients, num_bad, degree
):
    graph = make_graph(tuple(range(num_clients)), degree, b"")
    honest = list(itertools.combinations(range(num_clients), num_clients - num_bad))
    broken = sum(components(graph, members) > 1 for members in honest)
    assert failure_probability(num_clients, num_bad, degree) == Fraction(broken, len(honest))


@pytest.mark.parametrize(
    ("num_clients", "degrees"),
    [(50, (6, 12, 18)), (100, (12, 18, 26)), (200, (14, 22, 30)), (1000, (18, 26, 36))],
)
def test_the_smallest_degrees_are_those_of_the_table(num_clients, degrees):
    """spec/secure-aggregation.md, "Protocol A": failure 2^-40 at bad fraction .1, .2, .33."""
    assert tuple(smallest_degree(num_clients, f) for f in (0.1, 0.2, 0.33)) == degrees


@pytest.mark.parametrize("num_clients", [25, 60, 200])
@pytest.mark.parametrize("corrupt_fraction", [0.0, 0.15, 1 / 3, 0.6])
def test_the_smallest_degree_is_enough_and_two_less_is_not(num_clients, corrupt_fraction):
    degree = smallest_degree(num_clients, corrupt_fraction)
    num_bad = math.ceil(num_clients * corrupt_fraction)
    if degree < num_clients - 1:
        assert failure_probability(num_clients, num_bad, degree) <= Fraction(1, 2**40)
    if degree > 2:
        less = degree - 2 if degree % 2 == 0 else degree - 1
        assert failure_probability(num_clients, num_bad, less) > Fraction(1, 2**40)


@pytest.mark.parametrize(("num_clients", "num_bad", "degree"), [(50, 16, 12), (200, 66, 20)])
def test_the_failure_bounds_that_of_a_client_among_bad_neighbours(num_clients, num_bad, degree):
    """P[the k neighbours of a given honest client are all bad] = C(b, k)/C(n-1, k)."""
    lonely = Fraction(math.comb(num_bad, degree), math.comb(num_clients - 1, degree))
    assert failure_probability(num_clients, num_bad, degree) >= lonely


def test_the_order_is_a_uniform_one_and_everybodys_the_same():
    """3 clients in 6 orders; 6,000 seeds; a bin is off by 250 of 1,000 once in 10^16 runs."""
    ids = (1, 2, 3, 4)
    orders = [make_graph(ids, 2, seed.to_bytes(4)).ring for seed in range(6000)]
    first = [ring.index(1) for ring in orders]
    turned = [tuple(np.roll(ring, -place)[1:]) for ring, place in zip(orders, first, strict=True)]
    counts = [turned.count(order) for order in itertools.permutations((2, 3, 4))]
    assert sum(counts) == 6000
    assert max(abs(count - 1000) for count in counts) < 250
    assert make_graph((4, 9, 11, 200), 2, b"fixed").ring == (9, 200, 4, 11)  # on all platforms


@settings(deadline=None, max_examples=30)
@given(
    num_clients=st.integers(2, 300),
    degree=st.one_of(st.none(), st.just("auto"), st.integers(1, 150).map(lambda half: 2 * half)),
)
def test_every_setting_means_a_graph_that_exists(num_clients, degree):
    chosen = choose_degree(degree, num_clients)
    make_graph(tuple(range(num_clients)), chosen, b"")
    if degree is None or (degree == "auto" and num_clients <= 20):
        assert chosen == num_clients - 1
    elif degree != "auto":
        assert chosen == min(degree, num_clients - 1)


@pytest.mark.parametrize("degree", [3, 1, 0, -2])
def test_degrees_without_a_graph_are_refused(degree):
    for make in (choose_degree, lambda d, n: make_graph(tuple(range(n)), d, b"")):
        with pytest.raises(ConfigError, match=rf"an even number .* got degree {degree}; .auto"):
            make(degree, 30)


@pytest.mark.parametrize("fraction", [-0.1, 1.0])
def test_a_corrupt_fraction_out_of_range_is_refused(fraction):
    with pytest.raises(ConfigError, match=rf"less than 1, got {fraction}"):
        choose_degree("auto", 30, fraction)
