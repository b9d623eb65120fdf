"""Settings for the whole suite: seeds are drawn, shapes are parametrised, nothing is timed.

Two profiles: CI draws the same few examples every time; `make test-long` draws 1,000 others, and
runs the tests that are marked `long` besides.
"""

import gc
import os
import pkgutil
import shutil
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import pytest
from beartype.claw import beartype_packages
from hypothesis import HealthCheck, settings

QUICK = settings(
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=10,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
LONG = settings(
    QUICK,
    derandomize=False,
    max_examples=1000,
    print_blob=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.register_profile("quick", QUICK)
settings.register_profile("long", LONG)
settings.load_profile("quick")

SHAPED = {"bridges", "data", "federated", "models", "quantum"}
"""Rooms whose calls are checked for shapes, see pyproject.toml, which takes 50 µs each."""
ROOMS = {
    room.name for room in pkgutil.iter_modules([str(Path(__file__).parents[1] / "src/fedket")])
}
beartype_packages(f"fedket.{room}" for room in ROOMS - SHAPED)

CACHE = "JAX_COMPILATION_CACHE_DIR"
"""Many tests compile what others compiled: workers, child processes, sessions share a folder."""
CACHE_LIMIT = 2**30
"""Bytes above which the folder is emptied at the start of a session."""


if CACHE not in os.environ:  # before anything imports JAX; workers and child processes inherit it
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fedket" / "tests"
    if sum(file.stat().st_size for file in folder.glob("*")) > CACHE_LIMIT:
        shutil.rmtree(folder, ignore_errors=True)
    os.environ[CACHE] = str(folder)
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"


if "PYTEST_XDIST_WORKER" in os.environ:  # a core per worker: threads would wait for the others
    os.environ.setdefault("PJRT_NPROC", "1")


QUICKLY = (
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false "
    "--xla_cpu_parallel_codegen_split_count=1"
)
"""Most of what tests compile runs a few times; not optimised, they take two thirds of the time.

`make test-long`, the tests of the wheel and of bits between devices compile as users do.
"""
os.environ.setdefault("XLA_FLAGS", QUICKLY)


MOST_MAPPINGS = 8_000
"""Every compiled program takes a dozen, and as many MB; Linux lets a process have 65,530."""


@pytest.fixture(scope="module", autouse=True)
def little_memory() -> Iterator[None]:
    """Drop compiled programs now and then: they take memory, and too many mappings crash a process.

    What is free goes back to the system: a test that calls the command line in this process makes
    the C library keep it.
    """
    yield
    mappings = Path("/proc/self/maps")
    jax = sys.modules.get("jax")
    if jax and mappings.exists() and mappings.read_bytes().count(b"\n") > MOST_MAPPINGS:
        jax.clear_caches()
        gc.collect()
    if "fedket.allocator" in sys.modules:
        from fedket.allocator import return_freed_memory

        return_freed_memory()


def pytest_collection_finish() -> None:
    """Tracing makes many objects: the collector would look through all modules again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In the long profile, a test that draws fewer examples than others does so there, too."""
    if settings.get_current_profile_name() != "long":
        return
    factor = LONG.max_examples // QUICK.max_examples
    for test in {item.function for item in items if isinstance(item, pytest.Function)}:
        own = getattr(test, "_hypothesis_internal_use_settings", None)
        if own is not None:
            examples = min(factor * own.max_examples, LONG.max_examples)
            test._hypothesis_internal_use_settings = settings(LONG, max_examples=examples)


@pytest.fixture(scope="session")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data file of three blobs."""
    from tests.experiment.tiny import write_blobs

    return write_blobs(tmp_path_factory.mktemp("data") / "blobs.npz")


@pytest.fixture(scope="module")
def no_pool() -> Iterator[None]:
    """Runs of sweeps and of tables go one after the other in this process.

    For tests of what is made of them; the pool, whose processes take seconds to start, has its own.
    """
    from fedket.sweeps.complete import complete

    def one_by_one(tasks, jobs=0, on_round=lambda place, record: None):
        for place, task in enumerate(tasks):
            told = (lambda _: None), partial(on_round, place)
            yield place, complete(task.config, task.directory, partial(nullcontext, told))

    with pytest.MonkeyPatch.context() as patch:
        for module in ("fedket.reproduce.runs", "fedket.sweeps.run"):
            patch.setattr(f"{module}.run_side_by_side", one_by_one)
        yield


@pytest.fixture(scope="session")
def repository() -> Path:
    """Top of the checkout."""
    return Path(__file__).parents[1]
