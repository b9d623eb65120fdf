from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fedket.data.batches import gather_padded, pack_partition, shared_length
from fedket.data.partition import quantity_skew
from fedket.errors import PartitionError

X = jnp.arange(60.0).reshape(20, 3)
Y = jnp.arange(20) % 4

gather_twenty = jax.jit(partial(gather_padded, max_samples=20))


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**31 - 1))
def test_packing_keeps_every_client(seed):
    parts = quantity_skew(
        20, num_clients=6, alpha=0.3, rng=np.random.default_rng(seed), min_samples=0
    )
    packed = pack_partition(parts)
    assert packed.max_samples == max(map(len, parts))
    assert packed.indices.dtype == packed.offsets.dtype == packed.num_samples.dtype == np.int32
    for client, part in enumerate(parts):
        start, end = packed.offsets[client : client + 2]
        np.testing.assert_array_equal(packed.indices[start:end], part)
        assert packed.num_samples[client] == len(part)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**31 - 1))
def test_unmasked_samples_are_the_clients_and_padding_repeats_the_last(seed):
    rng = np.random.default_rng(seed)
    parts = quantity_skew(20, num_clients=6, alpha=0.3, rng=rng, min_samples=0)
    cohort = rng.choice(6, 4, replace=False)
    x, y, mask = map(np.asarray, gather_twenty(X, Y, pack_partition(parts), cohort))
    assert x.shape == (4, 20, 3)
    for row, part in enumerate(parts[client] for client in cohort):
        size = len(part)
        assert mask[row].tolist() == [True] * size + [False] * (20 - size)
        assert set(x[row, :, 0].tolist()) <= set(X[:, 0].tolist())
        if size:
            padded = np.append(part, np.full(20 - size, part[-1]))
            np.testing.assert_array_equal(x[row], np.asarray(X)[padded])
            np.testing.assert_array_equal(y[row], np.asarray(Y)[padded])


@pytest.mark.parametrize("as_argument", [False, True])
def test_other_clients_use_the_same_compiled_program(as_argument):
    packed = pack_partition([np.arange(0, 9), np.arange(9, 11), np.arange(11, 20)])
    if as_argument:
        gather = jax.jit(partial(gather_padded, max_samples=packed.max_samples))
        run = partial(gather, X, Y, packed)
    else:
        gather = jax.jit(lambda ids: gather_padded(X, Y, packed, ids))
        run = gather
    for cohort in ([0, 1], [2, 1], [1, 1]):
        for got, expected in zip(
            run(jnp.array(cohort)), gather_padded(X, Y, packed, np.array(cohort)), strict=True
        ):
            np.testing.assert_array_equal(got, expected)
    assert gather._cache_size() == 1


def test_a_shorter_length_takes_the_first_samples():
    packed = pack_partition([np.arange(0, 9), np.arange(9, 20)])
    x, _, mask = gather_padded(X, Y, packed, np.array([1]), max_samples=4)
    np.testing.assert_array_equal(x[0], X[9:13])
    assert mask.all()


def test_nothing_to_pack_is_an_error():
    with pytest.raises(PartitionError, match="none of 2 clients has a sample"):
        pack_partition([np.array([], int), np.array([], int)])
    with pytest.raises(PartitionError, match="32 bits"):
        pack_partition([np.array([0, 2**31])])


@given(sizes=st.lists(st.integers(0, 300), min_size=1).filter(any))
def test_a_shared_length_holds_every_client_and_is_no_larger_than_needed(sizes):
    length = shared_length(np.array(sizes))
    assert length >= max(sizes)
    if max(sizes) - min(sizes) <= 1:
        assert length == max(sizes)
    else:
        assert length & (length - 1) == 0
        assert length < 2 * max(max(sizes), 2 * np.mean(sizes))
