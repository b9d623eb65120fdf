import pytest

from fedket.experiment.run import start_run
from tests.experiment.tiny import config_of


@pytest.fixture
def tiny(blobs):
    """`tiny("federation.rounds=5")`: a small configuration, changed."""
    return lambda *overrides: config_of(blobs, *overrides)


@pytest.fixture(scope="session")
def finished(blobs, tmp_path_factory):
    """A finished run of three rounds; copy it before changing it."""
    return start_run(config_of(blobs), output=tmp_path_factory.mktemp("runs") / "finished")
