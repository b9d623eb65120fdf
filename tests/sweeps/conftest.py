import pytest

from fedket.sweeps.run import sweep
from tests.experiment.tiny import config_of
from tests.sweeps.grids import GRID


@pytest.fixture
def tiny(blobs):
    """`tiny("federation.rounds=5")`: a small configuration, changed."""
    return lambda *overrides: config_of(blobs, *overrides)


@pytest.fixture(scope="session")
def swept(blobs, tmp_path_factory):
    """A finished sweep of four settings and two seeds, and what was told of it."""
    told = []
    table = sweep(
        config_of(blobs),
        GRID,
        seeds=(0, 3),
        jobs=2,
        output=tmp_path_factory.mktemp("swept") / "sweep",
        on_round=lambda run, record: told.append((run.label, record.round)),
        on_end=lambda run, ended: told.append((run.label, ended.status)),
    )
    return table, told
