"""How many clients to train at the same time.

Vectorising over clients pays while their states fit the cache; beyond, chunks one after the other
are faster and bound the memory. The working set of one client is read off the traced program.
"""

from collections.abc import Callable
from math import prod
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr

from fedket.federated.program import Program

CACHE_BYTES = 16 * 2**20
"""Working set up to which vectorising over clients was measured to pay on a small server core."""


def traced_bytes(function: Callable[..., Any], *args: Any) -> int:
    """Bytes of all intermediate values of `function`, loop bodies counted once.

    An upper bound of the live memory of one call; nothing is compiled or run.
    """
    return _jaxpr_bytes(_trace(function, *args), repeated=False)


def traced_work(function: Callable[..., Any], *args: Any) -> int:
    """Bytes that `function` writes, a loop's as often as it runs, once if that is not known.

    A measure of how long it takes: a core writes a few gigabytes per second.
    """
    return _jaxpr_bytes(_trace(function, *args), repeated=True)


def _trace(function: Callable[..., Any], *args: Any) -> Jaxpr:
    if isinstance(function, Program):
        return function.trace(*args)
    traced: Jaxpr = jax.make_jaxpr(function)(*args).jaxpr
    return traced


def _jaxpr_bytes(jaxpr: Jaxpr, repeated: bool) -> int:
    total = 0
    for equation in jaxpr.eqns:
        inner = [j for value in equation.params.values() for j in _inner(value)]
        times = equation.params.get("length", 1) if repeated else 1
        total += times * sum(_jaxpr_bytes(j, repeated) for j in inner)
        total += 0 if inner else sum(_aval_bytes(v.aval) for v in equation.outvars)
    return total


def _inner(value: Any) -> list[Jaxpr]:
    if isinstance(value, ClosedJaxpr):
        return [value.jaxpr]
    if isinstance(value, Jaxpr):
        return [value]
    if isinstance(value, tuple | list):
        return [jaxpr for item in value for jaxpr in _inner(item)]
    return []


def _aval_bytes(aval: Any) -> int:
    return prod(aval.shape) * aval.dtype.itemsize if hasattr(aval, "shape") else 0


def chunk_size(client_bytes: int, cohort_size: int, memory_limit_mb: int) -> int:
    """Clients per chunk: as many as fit the cache and the limit, chunks of nearly equal size."""
    budget = min(CACHE_BYTES, memory_limit_mb * 2**20)
    largest = max(1, min(cohort_size, budget // max(1, client_bytes)))
    num_chunks = -(-cohort_size // largest)
    return -(-cohort_size // num_chunks)
