import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rounds import a_round, assert_same_bits, expected_cost

from fedket.errors import ConfigError, KeyReusedError, ProtocolError
from fedket.keys.os_random import OsRandomSource
from fedket.secure import (
    masked_sum,
    pairwise_protocol,
    plain_sum,
    quantised_protocol,
    quantised_sum,
    shared_mask_sum,
)
from fedket.secure.encoding import encode, make_encoding
from fedket.secure.pairwise import protocol as pairwise
from fedket.secure.quantise import QUANTISERS
from fedket.traffic import Traffic

GRID = [
    (word, bits, num_clients)
    for word in ("headroom", "safe")
    for bits in (4, 8, 16, 32)
    for num_clients in (2, 3, 5, 17)
    if (word, bits, num_clients) != ("headroom", 4, 17)  # no headroom: refused, see below
]


@pytest.mark.parametrize(("word", "bits", "num_clients"), GRID)
@settings(deadline=None, max_examples=3)
@given(seed=st.integers(0, 2**31 - 1))
def test_masks_cancel_masked_equals_quantised_equals_plain_within_the_steps(
    word, bits, num_clients, seed
):
    contributions, context = a_round(seed, num_clients)
    masked, traffic = masked_sum(bits, word, 1.0, OsRandomSource())(contributions, context)
    quantised, unmasked_traffic = quantised_sum(bits, word, 1.0)(contributions, context)
    assert_same_bits(masked, quantised)
    plain, _ = plain_sum()(contributions, context)
    assert jax.tree.map(jnp.shape, masked) == jax.tree.map(jnp.shape, plain)
    step = 1 / QUANTISERS[word](bits, 1.0, context.weights).scale
    for left, right in zip(jax.tree.leaves(masked), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(left, right, rtol=0, atol=num_clients * step + 1e-6)
    for protocol, spent in (
        (pairwise_protocol(bits, 1.0, modulus=word), traffic),
        (quantised_protocol(bits, 1.0, modulus=word), unmasked_traffic),
    ):
        assert (spent.upload_bytes, spent.key_bits) == expected_cost(protocol, context)


@pytest.mark.parametrize("mac", [True, False])
@pytest.mark.parametrize("degree", [None, "auto", 4, 6])
@settings(deadline=None, max_examples=1)
@given(seed=st.integers(0, 2**31 - 1))
def test_the_graph_and_the_macs_change_the_costs_and_not_a_bit_of_the_sum(degree, mac, seed):
    contributions, context = a_round(seed, 24)
    reduce = masked_sum(16, "headroom", 1.0, OsRandomSource(), degree=degree, authenticate=mac)
    masked, traffic = reduce(contributions, context)
    assert_same_bits(masked, quantised_sum(16, "headroom", 1.0)(contributions, context)[0])
    protocol = pairwise_protocol(16, 1.0, degree=degree, authenticate=mac)
    assert (traffic.upload_bytes, traffic.key_bits) == expected_cost(protocol, context)


def test_the_costs_of_a_round_are_told_by_phase():
    contributions, context = a_round(2, 5)
    _, traffic = masked_sum(8, "safe", 1.0, OsRandomSource())(contributions, context)
    assert [phase.name for phase in traffic.phases] == ["model", "reserve", "ready", "upload"]
    assert traffic.upload_bytes == sum(phase.upload_bytes for phase in traffic.phases)
    assert traffic.key_bits == sum(phase.pad_bits + phase.mac_bits for phase in traffic.phases)
    model, reserve, ready, upload = traffic.phases
    assert (model.pad_bits, model.mac_bits) == (0, 5 * 2 * 5 * 256)
    assert (reserve.pad_bits, reserve.mac_bits) == (10 * 8 * 18, 0)
    assert model.upload_bytes == 5 * (8 + 16)
    assert ready.upload_bytes == 5 * 16
    assert upload.upload_bytes == 5 * (18 + 16)
    assert min(phase.seconds for phase in traffic.phases) > 0
    assert min(phase.download_bytes for phase in traffic.phases) > 0


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 2**31 - 1), order=st.permutations(range(5)))
def test_the_ring_sum_does_not_depend_on_the_order_of_clients(seed, order):
    contributions, context = a_round(seed, 5)
    moved = context._replace(
        client_ids=tuple(context.client_ids[i] for i in order),
        weights=tuple(context.weights[i] for i in order),
    )
    rows = jax.tree.map(lambda leaf: leaf[jnp.asarray(order)], contributions)
    reduce = quantised_sum(16, "safe", 1.0)
    assert_same_bits(reduce(contributions, context)[0], reduce(rows, moved)[0])


@pytest.mark.parametrize("limit", ["PAD_MEMORY_BYTES", "MESSAGE_BYTES"])
def test_chunked_uploads_give_the_same_sum_and_the_same_bytes(monkeypatch, limit):
    contributions, context = a_round(3, 5)
    expected, traffic = quantised_sum(16, "safe", 1.0)(contributions, context)
    monkeypatch.setattr(pairwise, limit, 1)
    chunked, chunked_traffic = masked_sum(16, "safe", 1.0, OsRandomSource())(contributions, context)
    assert_same_bits(chunked, expected)
    words, tags, offsets = traffic.upload_bytes, 5 * (3 + 2) * 16, 5 * 8 + 10 * 8
    assert chunked_traffic.upload_bytes == words + tags + offsets
    assert chunked_traffic.phases[0].mac_bits == 5 * 2 * (4 + 2) * 256


def test_plain_sum_is_the_sum_and_four_bytes_per_value():
    contributions, context = a_round(0, 3)
    total, traffic = plain_sum()(contributions, context)
    np.testing.assert_allclose(total["angles"], np.sum(contributions["angles"], 0), atol=1e-6)
    assert traffic == Traffic(3 * 13 * 4, 0)


def test_the_ledger_agrees_with_the_accounting():
    contributions, context = a_round(1, 5)
    source = OsRandomSource()
    _, traffic = masked_sum(8, "safe", 1.0, source)(contributions, context)
    totals = source.ledger.totals()
    assert 8 * sum(totals) == 2 * traffic.key_bits  # every byte has two ends
    assert 8 * totals.consumed == 2 * (traffic.key_bits - 5 * 2 * 256)  # all but the aborts' keys
    contributions, context = a_round(1, 5)
    masked_sum(8, "safe", 1.0, source)(contributions, context._replace(round_num=2))
    assert source.ledger.totals().reserved == totals.reserved


def test_a_round_is_masked_once():
    contributions, context = a_round(1, 3, round_num=4)
    for options in ({}, {"authenticate": False}):
        reduce = masked_sum(16, "headroom", 1.0, OsRandomSource(), **options)
        reduce(contributions, context)
        for round_num in (4, 3):
            with pytest.raises((ProtocolError, KeyReusedError), match="rounds only go up"):
                reduce(contributions, context._replace(round_num=round_num))
        reduce(contributions, context._replace(round_num=5))


@pytest.mark.parametrize("mac", [True, False])
def test_another_reducer_cannot_reuse_the_pads_of_a_source(mac):
    contributions, context = a_round(1, 3)
    source = OsRandomSource()
    masked_sum(16, "headroom", 1.0, source, authenticate=mac)(contributions, context)
    with pytest.raises((ProtocolError, KeyReusedError), match="is already reserved"):
        masked_sum(16, "headroom", 1.0, source, authenticate=mac)(contributions, context)


def test_one_client_cannot_hide():
    contributions, context = a_round(1, 1)
    with pytest.raises(ProtocolError, match=r"fewer than 2 clients; in round 1 there are 1"):
        masked_sum(16, "headroom", 1.0, OsRandomSource())(contributions, context)
    quantised_sum(16, "headroom", 1.0)(contributions, context)


@pytest.mark.parametrize("kind", ["quantised", "masked"])
def test_too_many_clients_for_the_word_is_a_config_error(kind):
    contributions, context = a_round(1, 17)
    reduce = {
        "quantised": quantised_sum(4, "headroom", 1.0),
        "masked": masked_sum(4, "headroom", 1.0, OsRandomSource()),
    }[kind]
    with pytest.raises(ConfigError, match="at most 6 clients, got 17"):
        reduce(contributions, context)


def test_a_round_that_does_not_fit_its_context_is_refused():
    contributions, context = a_round(1, 3)
    for reduce in (plain_sum(), quantised_sum(16, "safe", 1.0)):
        with pytest.raises(ProtocolError, match="one row per client"):
            reduce(contributions, context._replace(client_ids=(1, 2)))
    with pytest.raises(ProtocolError, match="sum 1"):
        quantised_sum(16, "safe", 1.0)(contributions, context._replace(weights=(0.5, 0.5, 0.5)))
    with pytest.raises(ProtocolError, match=r"no update of 3 clients arrived.*NaN"):
        quantised_sum(16, "safe", 1.0)(
            jax.tree.map(lambda leaf: leaf * jnp.nan, contributions), context
        )


@pytest.mark.parametrize("kind", ["quantised", "masked", "shared masks"])
def test_an_update_with_nan_is_left_out_and_named(kind):
    contributions, context = a_round(1, 4)
    reduce = {
        "quantised": quantised_sum(16, "safe", 1.0),
        "masked": masked_sum(16, "safe", 1.0, OsRandomSource()),
        "shared masks": shared_mask_sum(16, 1.0, OsRandomSource(), colluders=1, threshold=3),
    }[kind]
    broken = jax.tree.map(lambda leaf: leaf.at[0].set(jnp.nan), contributions)
    total, traffic = reduce(broken, context)
    assert list(traffic.missing) == [context.client_ids[0]]
    assert "NaN" in traffic.missing[context.client_ids[0]]
    others = jax.tree.map(lambda leaf: leaf.at[0].set(0), contributions)
    assert_same_bits(total, quantised_sum(16, "safe", 1.0)(others, context)[0])


def test_clipping_is_counted_per_client_and_in_all():
    contributions, context = a_round(1, 3)
    protocol = quantised_protocol(16, 0.5)
    encoding = make_encoding(protocol.quantiser, protocol.clip, context)
    updates = [
        encode(encoding, i, {name: leaf[k] for name, leaf in contributions.items()}, context)
        for k, i in enumerate(context.client_ids)
    ]
    values = np.concatenate([np.asarray(v).reshape(3, -1) for v in contributions.values()], 1)
    deltas = values / np.asarray(context.weights)[:, None]
    assert [u.num_clipped for u in updates] == (np.abs(deltas) > 0.5).sum(1).tolist()
    for reduce in (
        quantised_sum(16, "headroom", 0.5),
        masked_sum(16, "headroom", 0.5, OsRandomSource()),
    ):
        assert reduce(contributions, context)[1].num_clipped == (np.abs(deltas) > 0.5).sum()


def test_a_degree_without_a_graph_is_a_config_error():
    contributions, context = a_round(1, 9)
    with pytest.raises(ConfigError, match="got degree 3"):
        masked_sum(16, "headroom", 1.0, OsRandomSource(), degree=3)(contributions, context)


def test_same_seed_same_bits_in_another_cohort_order_of_rounds():
    contributions, context = a_round(6, 3)
    reduce = quantised_sum(8, "headroom", 1.0)
    first = reduce(contributions, context)[0]
    other = reduce(contributions, context._replace(round_num=2))[0]
    assert_same_bits(reduce(contributions, context)[0], first)
    assert not np.array_equal(other["angles"], first["angles"])
