"""Sums over neighbourhoods: masked or not the same models, and key of the links alone."""

import numpy as np
import pytest

from fedket.errors import ConfigError, ProtocolError
from fedket.keys import OsRandomSource
from fedket.secure import pairwise_protocol, quantised_protocol, reduce_in_process
from fedket.secure.neighbourhoods import (
    SeenBy,
    check_maskable,
    mix_by_sums,
    neighbourhood_cost,
)
from fedket.topology.graph import complete, make_topology, mixing_matrix, ring, torus
from fedket.types import SERVER, RoundContext

RING = ring(7, 2)
UNEVEN = make_topology(6, [(0, 1), (0, 2), (1, 2), (1, 3), (2, 3), (2, 4), (3, 4), (3, 5), (4, 5)])


class Watched(OsRandomSource):
    """Key of which it is noted who took which bytes, and for what round."""

    def __init__(self):
        super().__init__()
        self.spent = {}

    def spend(self, round_num, client_id, stream, start, num_bytes):
        secret = super().spend(round_num, client_id, stream, start, num_bytes)
        self.spent.setdefault((round_num, stream), {})[client_id, start] = secret.reveal()
        return secret


def mixing(topology, protocol, source=None):
    views = {i: source and SeenBy(source, i) for i in range(topology.num_clients)}
    reducers = {i: reduce_in_process(protocol, view) for i, view in views.items()}
    return mix_by_sums(topology, protocol, reducers)


def masked(topology, clip=1.0, source=None):
    protocol = pairwise_protocol(16, clip, links=frozenset(topology.edges))
    return mixing(topology, protocol, source or OsRandomSource())


def in_round(topology, round_num=1, ids=None):
    ids = tuple(range(topology.num_clients)) if ids is None else ids
    return RoundContext(5, round_num, ids, (1 / len(ids),) * len(ids))


def models_of(topology, seed):
    rng = np.random.default_rng(seed)
    return {"w": rng.normal(0, 0.3, (topology.num_clients, 4)).astype(np.float32)}


@pytest.mark.parametrize("topology", [UNEVEN, complete(4)], ids=lambda t: t.name)
@pytest.mark.parametrize("clip", [0.2, 2.0])
def test_masked_is_plain_bit_for_bit_and_the_mean_is_kept_even_if_much_is_clipped(topology, clip):
    models = models_of(topology, 0)
    plain, _ = mixing(topology, quantised_protocol(16, clip))(models, in_round(topology))
    hidden, _ = masked(topology, clip)(models, in_round(topology))
    np.testing.assert_array_equal(hidden["w"], plain["w"])
    np.testing.assert_allclose(plain["w"].mean(0), models["w"].mean(0), atol=1e-6)
    if clip > 1:
        exact = mixing_matrix(topology) @ models["w"]
        np.testing.assert_allclose(plain["w"], exact, atol=20 * clip / 2**15)


def test_key_is_that_of_the_links_alone_and_as_much_as_was_said():
    source, protocol = Watched(), pairwise_protocol(16, 1.0, links=frozenset(UNEVEN.edges))
    mix = mixing(UNEVEN, protocol, source)
    for round_num in (1, 2):
        _, traffic = mix(models_of(UNEVEN, 0), in_round(UNEVEN, round_num))
        cost = neighbourhood_cost(UNEVEN, protocol, in_round(UNEVEN, round_num), 4)
        assert traffic.key_bits == 8 * sum(cost.key.values())
        assert traffic.upload_bytes == cost.upload_bytes
    links = {tuple(sorted(stream)) for _, stream in source.spent}
    assert links == set(UNEVEN.edges)
    assert SERVER not in {end for stream in cost.key for end in stream}


def test_who_is_not_there_keeps_its_place_and_the_others_their_mean():
    five, ids = complete(5), (0, 1, 2, 4)
    rows = {"w": models_of(five, 3)["w"][list(ids)]}
    mixed, _ = masked(five, 2.0)(rows, in_round(five, ids=ids))
    np.testing.assert_allclose(mixed["w"][list(ids)].mean(0), rows["w"].mean(0), atol=1e-6)
    exact = mixing_matrix(five, (3,))[list(ids)][:, list(ids)] @ rows["w"]
    np.testing.assert_allclose(mixed["w"][list(ids)], exact, atol=2e-3)


@pytest.mark.parametrize(
    ("ids", "said"),
    [((0, 1), "hides nothing with fewer than 2"), ((0, 1, 2, 4, 5, 6), "do not join all of them")],
)
def test_a_round_is_lost_before_a_neighbour_could_be_read_for_want_of_another(ids, said):
    rows = {"w": models_of(RING, 0)["w"][: len(ids)]}
    with pytest.raises(ProtocolError, match=said):
        masked(RING)(rows, in_round(RING, ids=ids))


def test_a_client_reads_a_neighbour_with_all_their_common_neighbours_and_not_without():
    """On this ring 0 and 5 have 6 alone in common: its pad with 5 opens what 5 sent to 0."""
    source, models = Watched(), models_of(RING, 1)
    sent = {}
    protocol = pairwise_protocol(16, 1.0, links=frozenset(RING.edges), authenticate=False)
    inner = protocol.client

    def overheard(client_id, party, update, num_values, begun):
        handler = inner(client_id, party, update, num_values, begun)

        def handle(action, payload, state):
            outcome, after = handler(action, payload, state)
            if action == "upload":
                sent[begun.context.round_num, client_id] = outcome.payload["words"]
            return outcome, after

        return handle

    reduce = mixing(RING, protocol._replace(client=overheard), source)
    reduce(models, in_round(RING))
    words = np.frombuffer(sent[1, 5], np.uint16)  # round 1 is the sum of client 0
    (pad,) = set(source.spent[1, (5, 6)].values())
    true = models["w"][5] / 4 * (2**15 - 1 - 4)
    opened = (words - np.frombuffer(pad, np.uint16)).view(np.int16)
    assert np.abs(opened - true).max() <= 1
    assert np.abs(words.view(np.int16) - true).max() > 100


@pytest.mark.parametrize(
    ("topology", "client"),
    [(ring(6), 0), (torus(12), 0), (make_topology(4, [(0, 1), (1, 2), (0, 2), (2, 3)]), 2)],
)
def test_graphs_on_which_masks_would_not_hide_a_neighbour_are_refused(topology, client):
    with pytest.raises(ConfigError, match=f"client {client} would learn more") as error:
        check_maskable(topology)
    assert "\n" not in str(error.value)


def test_graphs_whose_neighbourhoods_are_joined_are_taken():
    for topology in (RING, UNEVEN, complete(3), ring(5, 2)):
        check_maskable(topology)
