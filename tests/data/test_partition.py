import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fedket.data.census import check_partition, label_counts
from fedket.data.partition import by_group, dirichlet, iid, label_shards, quantity_skew
from fedket.data.repair import excess_and_deficit
from fedket.errors import PartitionError

SEEDS = st.integers(0, 2**31 - 1)
quick = settings(deadline=None, max_examples=25)
few = settings(deadline=None, max_examples=3)  # where one example is hundreds of clients or classes


def labels_for(num_samples, num_classes=7):
    """Skewed class sizes in a stored order that is neither sorted nor random."""
    return (np.arange(num_samples) ** 2 % num_classes).astype(np.int32)


KINDS = {
    "iid": lambda n, **kw: iid(n, **kw),
    "dirichlet": lambda n, **kw: dirichlet(labels_for(n), alpha=0.3, **kw),
    "dirichlet_extreme": lambda n, **kw: dirichlet(labels_for(n), alpha=1e-9, **kw),
    "label_shards": lambda n, **kw: label_shards(labels_for(n), shards_per_client=2, **kw),
    "quantity": lambda n, **kw: quantity_skew(n, alpha=0.3, **kw),
    "quantity_extreme": lambda n, **kw: quantity_skew(n, alpha=1e-9, **kw),
    "groups": lambda n, **kw: by_group(np.arange(n) // 2, **kw),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("num_clients", [1, 2, 7, 300])
@few
@given(seed=SEEDS, per_client=st.integers(2, 9), rest=st.integers(0, 6))
def test_every_sample_belongs_to_one_client_who_has_enough(
    kind, num_clients, seed, per_client, rest
):
    num_samples = num_clients * per_client + rest
    min_samples = 1 if kind == "groups" else per_client
    parts = KINDS[kind](
        num_samples,
        num_clients=num_clients,
        rng=np.random.default_rng(seed),
        min_samples=min_samples,
    )
    assert len(parts) == num_clients
    assert np.sort(np.concatenate(parts)).tolist() == list(range(num_samples))
    assert min(map(len, parts)) >= min_samples
    assert all(part.dtype == np.int64 and np.all(np.diff(part) > 0) for part in parts)
    check_partition(parts, num_samples)


@pytest.mark.parametrize("kind", KINDS)
@quick
@given(seed=SEEDS)
def test_the_same_generator_state_gives_the_same_partition(kind, seed):
    first, second = (
        KINDS[kind](60, num_clients=5, rng=np.random.default_rng(seed)) for _ in range(2)
    )
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_clients_without_a_sample_are_possible_only_when_allowed(kind):
    rng = np.random.default_rng(0)
    with pytest.raises(PartitionError, match="use fewer clients"):
        KINDS[kind](9, num_clients=10, rng=rng)
    if kind not in ("label_shards", "groups"):
        assert len(KINDS[kind](9, num_clients=10, rng=rng, min_samples=0)) == 10


@pytest.mark.parametrize("kind", ["iid", "label_shards"])
@quick
@given(seed=SEEDS, num_samples=st.integers(14, 200))
def test_even_kinds_differ_by_at_most_one_sample(kind, seed, num_samples):
    parts = KINDS[kind](num_samples, num_clients=7, rng=np.random.default_rng(seed))
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("num_clients", [2, 5, 30])
@quick
@given(seed=SEEDS)
def test_a_large_alpha_approaches_even_shares_of_every_class(num_clients, seed):
    labels = labels_for(400)
    rng = np.random.default_rng(seed)
    parts = dirichlet(labels, num_clients=num_clients, alpha=1e300, rng=rng, min_samples=0)
    counts = label_counts(parts, labels, 7)
    assert np.abs(counts - np.bincount(labels, minlength=7) / num_clients).max() <= 1
    sizes = [len(p) for p in quantity_skew(400, num_clients=num_clients, alpha=1e300, rng=rng)]
    assert np.abs(np.array(sizes) - 400 / num_clients).max() <= 1


@quick
@given(seed=SEEDS)
def test_a_tiny_alpha_gives_each_class_to_one_client(seed):
    labels, rng = labels_for(400), np.random.default_rng(seed)
    parts = dirichlet(labels, num_clients=20, alpha=1e-9, rng=rng, min_samples=0)
    present = np.unique(labels)
    assert ((label_counts(parts, labels, 7) > 0).sum(axis=0)[present] == 1).all()


def test_classes_of_one_sample_do_not_meet_on_one_client():
    """Plain rounding of cumulated shares would give all of them to the same client."""
    parts = dirichlet(
        np.arange(1000), num_clients=50, alpha=1e6, rng=np.random.default_rng(0), min_samples=0
    )
    assert max(map(len, parts)) < 50


@few
@given(seed=SEEDS)
def test_the_mean_share_of_a_class_is_even(seed):
    """Dir(alpha, ..., alpha) has mean 1/clients; 20 clients see 200 independent classes."""
    labels = np.repeat(np.arange(200), 10)
    rng = np.random.default_rng(seed)
    parts = dirichlet(labels, num_clients=20, alpha=1.0, rng=rng, min_samples=0)
    sizes = np.array([len(part) for part in parts])
    assert np.abs(sizes - 100).max() < 70  # deviation about 10


@pytest.mark.parametrize("shards_per_client", [1, 2, 3])
@quick
@given(seed=SEEDS, num_samples=st.integers(40, 200))
def test_shards_bring_one_label_each_and_one_per_class_boundary(
    shards_per_client, seed, num_samples
):
    labels, rng = labels_for(num_samples), np.random.default_rng(seed)
    parts = label_shards(labels, num_clients=8, shards_per_client=shards_per_client, rng=rng)
    seen = (label_counts(parts, labels, 7) > 0).sum()
    assert seen <= 8 * shards_per_client + len(np.unique(labels)) - 1


@quick
@given(seed=SEEDS)
def test_shards_that_fit_the_classes_hold_one_label(seed):
    """60 per class, 20 clients with 2 shards of 15, the split of McMahan et al. in small."""
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(10), 60))
    parts = label_shards(
        labels, num_clients=20, shards_per_client=2, rng=np.random.default_rng(seed)
    )
    counts = label_counts(parts, labels, 10)
    assert set(counts.ravel().tolist()) <= {0, 15, 30}
    assert (counts.sum(axis=1) == 30).all()


@pytest.mark.parametrize("as_type", [np.int64, str])
@quick
@given(seed=SEEDS, num_groups=st.integers(6, 40))
def test_groups_stay_whole_and_clients_balanced(as_type, seed, num_groups):
    rng = np.random.default_rng(seed)
    groups = np.concatenate([np.arange(num_groups), rng.integers(0, num_groups, 100)])
    groups = groups.astype(as_type)
    parts = by_group(groups, num_clients=6, rng=rng)
    held = [set(groups[part].tolist()) for part in parts]
    assert sum(map(len, held)) == len(set.union(*held)) == num_groups
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= np.unique(groups, return_counts=True)[1].max()


@quick
@given(seed=SEEDS)
def test_the_largest_groups_are_dealt_first(seed):
    rng = np.random.default_rng(seed)
    groups = rng.permutation(np.repeat(np.arange(7), [1, 1, 1, 1, 1, 1, 6]))
    assert [len(part) for part in by_group(groups, num_clients=2, rng=rng)] == [6, 6]


@quick
@given(
    sizes=st.lists(st.integers(0, 30), min_size=1, max_size=12),
    min_samples=st.integers(0, 10),
)
def test_repair_equals_moving_one_sample_at_a_time_from_the_largest(sizes, min_samples):
    assume(sum(sizes) >= min_samples * len(sizes))
    excess, deficit = excess_and_deficit(np.array(sizes), min_samples)
    repaired = np.array(sizes) - excess + deficit
    slow = list(sizes)
    while min(slow) < min_samples:
        slow[slow.index(min(slow))] += 1
        slow[slow.index(max(slow))] -= 1
    assert sorted(repaired.tolist()) == sorted(slow)
    assert not (excess * deficit).any()


def test_repair_leaves_samples_of_large_enough_clients_where_they_are():
    labels = labels_for(500)
    free, repaired = (
        dirichlet(labels, num_clients=25, alpha=0.05, rng=np.random.default_rng(3), min_samples=m)
        for m in (0, 5)
    )
    smaller = [set(b.tolist()) < set(a.tolist()) for a, b in zip(free, repaired, strict=True)]
    larger = [set(b.tolist()) > set(a.tolist()) for a, b in zip(free, repaired, strict=True)]
    assert any(smaller)
    for a, b, gives, takes in zip(free, repaired, smaller, larger, strict=True):
        assert takes == (len(a) < 5)
        assert gives or takes or a.tolist() == b.tolist()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda rng: iid(10, num_clients=0, rng=rng), "got 10 samples, 0 clients"),
        (lambda rng: iid(0, num_clients=3, rng=rng, min_samples=0), "at least one sample"),
        (lambda rng: iid(10, num_clients=3, rng=rng, min_samples=-1), "min_samples -1"),
        (lambda rng: iid(10, num_clients=3, rng=rng, min_samples=4), "need 12, the data has 10"),
        (
            lambda rng: quantity_skew(10, num_clients=3, alpha=0.0, rng=rng),
            "alpha must be positive",
        ),
        (
            lambda rng: dirichlet(labels_for(9), num_clients=3, alpha=float("nan"), rng=rng),
            "alpha must be positive",
        ),
        (
            lambda rng: dirichlet(np.array([0, -300, 1]), num_clients=1, alpha=1.0, rng=rng),
            "labels must be 0 or more, got -300",
        ),
        (
            lambda rng: label_shards(labels_for(9), num_clients=3, shards_per_client=0, rng=rng),
            "shards_per_client must be at least 1",
        ),
        (
            lambda rng: label_shards(labels_for(9), num_clients=3, shards_per_client=4, rng=rng),
            "need 12",
        ),
        (lambda rng: by_group(np.arange(9) // 5, num_clients=3, rng=rng), "the data has 2"),
        (
            lambda rng: by_group(np.array([0] * 8 + [1]), num_clients=2, rng=rng, min_samples=2),
            "leaves a client with 1 samples, min_samples is 2",
        ),
    ],
)
def test_impossible_requests_say_why(call, message):
    with pytest.raises(PartitionError, match=message):
        call(np.random.default_rng(0))


def test_many_clients_are_dealt_without_a_slow_path():
    """100,000 clients of 300,000 samples: quadratic work would not end."""
    labels, rng = labels_for(300_000, 11), np.random.default_rng(0)
    parts = dirichlet(labels, num_clients=100_000, alpha=0.1, rng=rng, min_samples=2)
    assert min(map(len, parts)) == 2
    check_partition(parts, 300_000)
