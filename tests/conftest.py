"""Settings for the whole suite: seeds are drawn, shapes are parametrised, nothing is timed."""

import os
import shutil
import tempfile
from pathlib import Path

import hypothesis
import pytest

hypothesis.settings.register_profile(
    "fedket",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=10,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.load_profile("fedket")

CACHE = "JAX_COMPILATION_CACHE_DIR"
"""Many tests compile what others compiled: workers and child processes share one folder."""


def pytest_configure(config: pytest.Config) -> None:
    if CACHE not in os.environ:
        os.environ[CACHE] = tempfile.mkdtemp(prefix="fedket-tests-")
        os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
        folder = os.environ[CACHE]
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))


@pytest.fixture
def small_experiment() -> dict[str, object]:
    """A configuration that runs a round in milliseconds."""
    return {
        "name": "small",
        "data": {"kind": "digits", "max_train": 120, "max_test": 60},
        "partition": {"kind": "dirichlet", "num_clients": 4, "min_samples": 5},
        "model": {"kind": "vqc", "num_qubits": 6, "num_layers": 1},
        "federation": {"rounds": 3},
    }


@pytest.fixture(scope="session")
def repository() -> Path:
    """Top of the checkout."""
    return Path(__file__).parents[1]
