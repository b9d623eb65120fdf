import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from fedket.experiment import start_run
from tests.experiment.tiny import config_of, write_blobs

CACHE = {
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": -1,
}


@pytest.fixture(scope="package", autouse=True)
def compiled_once(tmp_path_factory):
    """Keep what is compiled: most tests here run the same few programs, some in new processes."""
    values = CACHE | {"jax_compilation_cache_dir": str(tmp_path_factory.mktemp("compiled"))}
    before = {name: getattr(jax.config, name) for name in values}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in values.items():
            jax.config.update(name, value)
            patch.setenv(name.upper(), str(value))
        yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


@pytest.fixture(scope="session")
def blobs(tmp_path_factory):
    """A data file of three blobs."""
    return write_blobs(tmp_path_factory.mktemp("data") / "blobs.npz")


@pytest.fixture
def tiny(blobs):
    """`tiny("federation.rounds=5")`: a small configuration, changed."""
    return lambda *overrides: config_of(blobs, *overrides)


@pytest.fixture(scope="session")
def finished(blobs, tmp_path_factory):
    """A finished run of three rounds; copy it before changing it."""
    return start_run(config_of(blobs), output=tmp_path_factory.mktemp("runs") / "finished")
