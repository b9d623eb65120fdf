"""Statistics as masked sums are those of all samples together, and tell nothing of a few."""

import json
import tomllib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fedket import cli, federated_statistics
from fedket.data.transform import standardise_by
from fedket.data.transform_kinds import StandardiseConfig
from fedket.errors import ConfigError, KeyReusedError, ProtocolError
from fedket.keys import OsRandomSource
from fedket.secure import pairwise_protocol, reduce_in_process, shared_masks_protocol
from fedket.statistics.federated import exact
from fedket.statistics.pooled import as_values, from_values, joined, standardising, told
from fedket.types import Dataset, RoundContext

PROTOCOLS = {
    "pairwise_masks": pairwise_protocol(32, 1.0, confirm=True),
    "shared_masks": shared_masks_protocol(32, 1.0, colluders=1, threshold=3),
}
SCALES = np.array([1.0, 1e-4, 3e6, 40.0])


def table(seed, num=2000, classes=3):
    """Columns of very different units, each with outliers; the last one has values missing."""
    rng = np.random.default_rng(seed)
    x = rng.standard_t(4, size=(num, 4)) * SCALES + np.array([0, 0, 1e6, 60])
    x[rng.random(num) < 0.05, 3] = np.nan
    y = rng.integers(classes, size=num).astype(np.int32)
    y[y == classes - 1] %= classes
    x = x.astype(np.float32)
    return Dataset("units", x, y, x[:1], y[:1], classes)


def dealt(dataset, clients, seed=0):
    order = np.random.default_rng(seed).permutation(len(dataset.y_train))
    return np.array_split(order, clients)


@pytest.mark.parametrize("kind", PROTOCOLS)
@given(seed=st.integers(0, 2**31 - 1))
def test_sums_say_what_numpy_says_of_all_samples(kind, seed):
    data = table(seed)
    found = federated_statistics(data, dealt(data, 4, seed), PROTOCOLS[kind])
    assert (found.sites, found.samples) == (4, 2000)
    assert found.labels == tuple(np.bincount(data.y_train))
    for column, x in zip(found.columns, data.x_train.astype(np.float64).T, strict=True):
        finite = x[np.isfinite(x)]
        assert (column.values, column.missing) == (len(finite), len(x) - len(finite))
        low, high = column.edges[0], column.edges[-1]
        clipped, half_step = np.clip(finite, low, high), (high - low) / 2**25
        assert abs(column.mean - clipped.mean()) <= half_step * 1.001
        assert abs(column.deviation - clipped.std()) <= half_step * 2
        counts, _ = np.histogram(clipped, column.edges)
        assert sum(counts) == sum(column.bins)
        assert counts.tolist() == list(column.bins)
        for q, (start, end) in column.quantiles.items():
            assert start <= np.quantile(clipped, float(q), method="inverted_cdf") <= end
        median = column.quantiles["0.5"]
        assert median[1] - median[0] <= 0.2 * column.deviation


def test_an_agreed_range_takes_one_round_and_is_exact_on_its_grid():
    rng = np.random.default_rng(3)
    x = (rng.integers(0, 2**20, size=(500, 7, 5)) / 2**20).astype(np.float32)
    y = rng.integers(2, size=500).astype(np.int32)
    data = Dataset("images", x, y, x[:1], y[:1], 2)
    found = federated_statistics(data, dealt(data, 3), bounds=(0.0, 1.0), smallest=2)
    (pixels,) = found.columns  # images: all pixels together
    values = x.astype(np.float64)
    assert (found.samples, pixels.values) == (500, values.size)
    assert pixels.mean == values.mean()
    assert pixels.deviation == pytest.approx(values.std(), rel=1e-14)


def test_numbers_to_predict_are_the_last_column():
    data = table(1)._replace(y_train=np.linspace(0, 7, 2000).astype(np.float32), num_classes=1)
    found = federated_statistics(data, dealt(data, 3), columns=("a", "b", "c", "d"))
    assert found.labels == ()
    assert found.columns[-1].name == "target"
    assert found.columns[-1].mean == pytest.approx(3.5, abs=1e-5)


@given(seed=st.integers(0, 2**31 - 1))
def test_who_is_where_makes_no_difference(seed):
    data = table(7, num=300)
    alone = federated_statistics(data, dealt(data, 2))
    assert federated_statistics(data, dealt(data, 5, seed))._replace(sites=2) == alone


@given(seed=st.integers(0, 2**31 - 1), least=st.integers(2, 9))
def test_nothing_is_told_that_few_samples_make_up(seed, least):
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 3 * least, size=rng.integers(1, 9)).tolist()
    shown = told(counts, least)
    hidden = [count for count, seen in zip(counts, shown, strict=True) if seen is None]
    assert all(
        seen is None or seen == count >= least for count, seen in zip(counts, shown, strict=True)
    )
    if any(seen is not None for seen in shown) and hidden:
        assert len(hidden) >= 2
        assert sum(hidden) >= least
    bins = [*counts, least, *counts, 0]
    edges = np.arange(len(bins) - 1).tolist()
    ends, kept = joined(edges, bins, least)
    assert min(kept) >= least
    assert sum(kept) == sum(bins)
    assert (ends[0], ends[-1]) == (edges[0], edges[-1])
    assert set(ends) <= set(edges)


def test_a_single_outlier_does_not_show():
    """What is asked in the second round, and so the range, does not depend on few values."""
    data = table(5)
    far = data._replace(x_train=data.x_train.copy())
    far.x_train[17, 0] = 1e9
    before, after = (federated_statistics(d, dealt(d, 3)).columns[0] for d in (data, far))
    assert before.edges[-1] == after.edges[-1] < 1e3


def test_a_column_with_few_values_and_few_missing_ones_say_nothing_of_them():
    data = table(2, num=40)
    x = data.x_train.copy()
    x[:, 0] = np.nan
    x[:3, 0] = 1.0
    x[:, 1] = 2.0
    x[:3, 1] = np.nan
    found = federated_statistics(data._replace(x_train=x), dealt(data, 3))
    few, most = found.columns[:2]
    assert (few.values, few.missing, few.mean, few.bins) == (None, None, None, ())
    assert (most.values, most.missing, most.mean) == (None, None, pytest.approx(2.0, abs=1e-5))


def test_they_go_to_a_file_and_into_a_transform():
    data = table(4)
    found = federated_statistics(data, dealt(data, 3))
    assert from_values(json.loads(json.dumps(as_values(found)))) == found
    section = StandardiseConfig.model_validate_json(json.dumps(standardising(found)))
    made = standardise_by(data, section.mean, section.deviation).x_train
    np.testing.assert_allclose(np.nanmean(made, axis=0), 0, atol=0.03)
    np.testing.assert_allclose(np.nanstd(made, axis=0), 1, atol=0.05)


def test_key_is_used_once():
    data, keys = table(0, num=30), OsRandomSource()
    federated_statistics(data, dealt(data, 2), key_source=keys)
    with pytest.raises(KeyReusedError):
        federated_statistics(data, dealt(data, 2), key_source=keys)


def test_integers_that_could_overflow_are_refused():
    context = RoundContext(0, 1, (0, 1), (0.5, 0.5))
    for wrong in (2**30, -1):
        reduce = reduce_in_process(exact(PROTOCOLS["pairwise_masks"]), OsRandomSource())
        with pytest.raises(ProtocolError):
            reduce(np.array([[1, wrong], [1, 1]]), context)


def test_the_command_prints_a_table_an_object_a_transform_and_a_page(tmp_path, monkeypatch, capsys):
    def fedket(*words):
        monkeypatch.setattr("sys.argv", ["fedket", "statistics", "quickstart", *words])
        assert cli.execute() == 0
        return capsys.readouterr().out

    small = ["--set", "data.max_train=200", "--set", "partition.num_clients=3"]
    page = tmp_path / "page.html"
    out = fedket(*small, "--page", str(page))
    assert "samples  200" in out
    assert "sites" in page.read_text()
    assert page.read_text().count("<svg") == 2
    found = json.loads(fedket(*small, "--json", "--range", "0,1"))
    assert sum(filter(None, found["labels"])) == found["samples"] == 200
    (transform,) = tomllib.loads(fedket(*small, "--range", "0,1", "--standardise"))["transform"]
    assert transform["mean"] == [found["columns"][0]["mean"]]


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        ({"smallest": 1}, "single samples"),
        ({"bounds": (1.0, 1.0)}, "no range"),
        ({"columns": ("a",)}, "name each one"),
    ],
)
def test_what_cannot_be_asked_is_said(asked, says):
    data = table(0, num=30)
    with pytest.raises(ConfigError, match=says):
        federated_statistics(data, dealt(data, 2), **asked)
