"""Where compiled programs are kept, and that several processes may keep them."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from fedket.compile_cache import SETTING, use_compile_cache

MINE = (
    "jax_compilation_cache_dir",
    "jax_persistent_cache_min_compile_time_secs",
    "jax_persistent_cache_min_entry_size_bytes",
)

COMPILE = """
import jax, jax.numpy as jnp
from fedket.compile_cache import use_compile_cache
hits = []
jax.monitoring.register_event_listener(
    lambda event, **_: hits.append(event) if event == "/jax/compilation_cache/cache_hits" else None
)
print(use_compile_cache())
x = jnp.linspace(0, 1, 301)
print(float(jax.jit(lambda x: jnp.sin(x) @ jnp.cos(x) + jnp.sort(x)[::2].sum())(x)))
print(len(hits))
"""


@pytest.fixture
def untouched(monkeypatch):
    """JAX without a cache, as a user's process begins; as it was before once the test is over."""
    before = {name: getattr(jax.config, name) for name in MINE}
    jax.config.update("jax_compilation_cache_dir", None)
    monkeypatch.delenv(SETTING, raising=False)
    yield monkeypatch
    for name, value in before.items():
        jax.config.update(name, value)


def test_the_users_cache_directory_is_taken(untouched, tmp_path):
    untouched.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = use_compile_cache()
    assert folder is not None
    assert folder.is_dir()
    assert folder.parent == tmp_path / "fedket" / "compiled"
    assert jax.config.jax_compilation_cache_dir == str(folder)


def test_the_setting_names_another_folder_or_none(untouched, tmp_path):
    untouched.setenv(SETTING, "off")
    assert use_compile_cache() is None
    assert jax.config.jax_compilation_cache_dir is None
    untouched.setenv(SETTING, str(tmp_path / "mine"))
    folder = use_compile_cache()
    assert folder is not None
    assert folder.parent == tmp_path / "mine"


def test_jaxs_own_setting_is_left_alone(untouched, tmp_path):
    untouched.setenv(SETTING, str(tmp_path / "mine"))
    jax.config.update("jax_compilation_cache_dir", str(tmp_path / "jax"))
    assert use_compile_cache() is None
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / "jax")
    assert not (tmp_path / "mine").exists()


def test_without_a_folder_to_write_to_it_goes_without(untouched, tmp_path):
    file = tmp_path / "file"
    file.touch()
    untouched.setenv(SETTING, str(file / "below"))
    assert use_compile_cache() is None
    assert jax.config.jax_compilation_cache_dir is None


def start(folder: Path) -> subprocess.Popen[str]:
    environment = {name: value for name, value in os.environ.items() if name[:4] != "JAX_"}
    return subprocess.Popen(
        [sys.executable, "-c", COMPILE],
        env=environment | {SETTING: str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_processes_share_what_they_compile_and_a_later_one_loads_it_quietly(tmp_path):
    together = [start(tmp_path) for _ in range(2)]
    first = [process.communicate()[0].split() for process in together]
    later, said = start(tmp_path).communicate()
    assert said == ""
    folder, value, hits = later.split()
    assert int(hits) > 0
    assert [(f, v) for f, v, _ in first] == [(folder, value)] * 2
    assert list(Path(folder).iterdir())
