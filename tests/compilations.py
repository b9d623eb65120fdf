"""Counting what JAX compiles, and compiling it as users do."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jax

COMPILED = "/jax/core/compile/backend_compile_duration"
"""Event of a program that is compiled, or loaded from a cache of compiled programs."""


@contextmanager
def compiled_programs() -> Iterator[list[str]]:
    """A list that grows by the name of each program that JAX compiles."""
    names: list[str] = []

    def note(event: str, _seconds: float, **about: object) -> None:
        if event == COMPILED:
            names.append(str(about.get("fun_name")))

    jax.monitoring.register_event_duration_secs_listener(note)
    try:
        yield names
    finally:
        jax.monitoring.unregister_event_duration_listener(note)


def run_as_users_do(program: str) -> str:
    """Run Python in a process of its own, compiled as users do: what it prints, and its errors.

    For laws about bits between different programs, which `conftest.QUICKLY` rounds apart.
    """
    found = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[1],
        env={**os.environ, "XLA_FLAGS": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout + found.stderr[-2000:] * (found.returncode != 0)
