"""Every published row parses in its fast profile; the first of each model runs a round.

Data are cut to a few samples of a few clients: what is shown is that everything fits together.
Rows whose data are not at hand are skipped. Rows differ mostly in numbers, and a round takes
seconds to compile: the others are built only in `make test-long`.
"""

import os
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

import jax
import pytest

from fedket.data import download, source_kinds
from fedket.data.sources import load_dataset
from fedket.errors import DataError
from fedket.experiment.build import build_experiment
from fedket.experiment.load import load_config
from fedket.experiment.run import start_run
from fedket.experiment.shipped import shipped_experiments

CONFIGS = {s: load_config(s.path) for s in shipped_experiments()}
OPEN = ("open_questions", "privacy", "robust")
"""Folders of rows that no paper has published."""
PUBLISHED = [s for s, c in CONFIGS.items() if c.paper is not None and s.paper not in OPEN]
KINDS = ("model.kind", "model.circuit")
STATES = ("data.kind", "data.targets")
MADE = ("ntangled", "magic")
"""Data sets that are made on the spot, which takes longer than all the rest."""


def setting(config, path):
    """The value at a dotted path; None where a table has no such key."""
    value = config
    for part in path.split("."):
        value = getattr(value, part, None)
    return value


def settings(shipped, paths):
    return tuple(setting(CONFIGS[shipped], path) for path in paths)


def is_first(shipped, paths, among=PUBLISHED):
    """Whether no row before this one has the same values."""
    wanted = settings(shipped, paths)
    return shipped == next(s for s in among if settings(s, paths) == wanted)


OURS = [s for s, c in CONFIGS.items() if s.paper in OPEN and c.data.kind not in MADE]
FIRST = [s for s in OURS if is_first(s, (*KINDS, "noise.kind"), OURS)]


@pytest.fixture(scope="module")
def features(tmp_path_factory):
    """A folder of features, which rows share, those that other workers run too."""
    own = tmp_path_factory.getbasetemp()
    return (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "features"


@lru_cache(2)
def loaded(kind, options):
    """A data set, read once for all rows that cut it alike."""
    return load_dataset(kind, **dict(options))


@pytest.fixture
def data_directory(monkeypatch):
    """Where the data of rows lie, if they lie anywhere; nothing is downloaded."""
    read = lambda kind, **options: loaded(kind, tuple(options.items()))  # noqa: E731
    monkeypatch.setattr(source_kinds, "load_dataset", read)

    def refuse(*_):
        raise OSError("tests use no network")

    default = Path(__file__).parents[2] / "shared" / "data"
    monkeypatch.setenv("FEDKET_DATA", os.environ.get("FEDKET_DATA", str(default)))
    monkeypatch.setattr(download, "_fetch", refuse)


def smallest(path, features):
    """The fast profile with few clients and samples, one round and one epoch."""
    config = load_config(path, fast=True)
    if config.keys.pairs() is not None:  # a network of so many clients, and digits, which are few
        return load_config(path, ["federation.rounds=1", "training.epochs=1"], fast=True)
    clients = min(config.partition.num_clients, 4)
    cuts = ["federation.rounds=1", "training.epochs=1", f"partition.num_clients={clients}"]
    cuts.append(f"federation.clients_per_round={min(config.federation.clients_per_round, clients)}")
    if config.data.kind in MADE:
        cuts += ["data.train_samples=24", "data.test_samples=8"]
    elif config.partition.kind != "groups":
        samples = max(clients * config.partition.min_samples, 60)
        cuts += [f"data.max_train={samples}", "data.max_test=20"]
        kinds = enumerate(transform.kind for transform in config.transform)
        cuts += [f"transform.{i}.cache={features}" for i, kind in kinds if kind == "features"]
    return load_config(path, cuts, fast=True)


@contextmanager
def if_data_are_at_hand():
    """Skip what lacks its data, and forget the programs."""
    try:
        yield
    except DataError as error:
        if not any(words in str(error) for words in ("no file", "cannot download")):
            raise
        pytest.skip(str(error))
    finally:
        jax.clear_caches()


@pytest.mark.parametrize("shipped", FIRST, ids=lambda s: s.name)
def test_a_row_of_ours_builds(shipped, data_directory, features):
    config = smallest(shipped.path, features)
    with if_data_are_at_hand():
        assert build_experiment(config).model.circuit is not None


@pytest.mark.parametrize("paper", {s.paper: None for s in PUBLISHED})
def test_every_published_row_has_a_fast_profile(paper, features):
    for shipped in PUBLISHED:
        if shipped.paper == paper:
            assert smallest(shipped.path, features).federation.rounds == 1


ROWS = [
    pytest.param(s, id=s.name, marks=() if is_first(s, KINDS) else pytest.mark.long)
    for s in PUBLISHED
]


@pytest.mark.parametrize("shipped", ROWS)
def test_a_published_row_works(shipped, data_directory, features, tmp_path):
    config = smallest(shipped.path, features)
    with if_data_are_at_hand():
        if is_first(shipped, KINDS):
            summary = start_run(config, output=tmp_path / "run").summary
            assert (summary.status, summary.rounds) == ("finished", 1)
            assert summary.test_loss is not None
        elif config.data.kind not in MADE or is_first(shipped, STATES):
            build_experiment(config)
