"""Counting what JAX compiles."""

from collections.abc import Iterator
from contextlib import contextmanager

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
