"""Circuits on a user's own device: values and gradients through a callback of the compiled program.

What runs in the callback knows NumPy only, and is called by one thread at a time. A callback must
not raise: what goes wrong is kept, the program gets NaN, and `Device.finish` says it.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as OutOfTimeError
from functools import partial
from time import sleep
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from fedket.errors import FedketError, TrainingError
from fedket.user_code import in_user_code

Values = Callable[[np.ndarray, np.ndarray], np.ndarray]
Pulled = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


class Patience(NamedTuple):
    """How long a device is waited for.

    Attributes:
        timeout_s: Seconds for one batch.
        retries: How often a call that failed is repeated.
        wait_s: Seconds before the first repetition; twice as long before each further one.
    """

    timeout_s: float = 600.0
    retries: int = 2
    wait_s: float = 1.0


class ForeignFunction(NamedTuple):
    """A circuit as functions of NumPy arrays in double precision.

    Attributes:
        name: What it runs on, for messages.
        num_outputs: Values of a sample.
        values: (weights (W,), x (batch, features)) -> (batch, num_outputs).
        pulled: (weights, x, cotangent (batch, num_outputs)) -> gradient (W,), summed over samples.
        take_jobs: Ids of the device's jobs since it was asked last.
    """

    name: str
    num_outputs: int
    values: Values
    pulled: Pulled
    take_jobs: Callable[[], tuple[str, ...]] = tuple


class Device:
    """A foreign function with patience, and what became of its calls.

    Args:
        function: What is called.
        patience: How long.
    """

    def __init__(self, function: ForeignFunction, patience: Patience = Patience()) -> None:  # noqa: B008
        self._function, self._patience = function, patience
        self._lock = threading.Lock()
        self._failure: FedketError | None = None

    def __call__(
        self, weights: Float[Array, " weights"], x: Float[Array, "batch features"]
    ) -> Float[Array, "batch outputs"]:
        """Values of a batch; differentiable in the weights, not in the samples."""
        return _values(self, weights, jax.lax.stop_gradient(x))

    @property
    def num_outputs(self) -> int:
        """Values of a sample."""
        return self._function.num_outputs

    def finish(self) -> tuple[str, ...]:
        """End a round: ids of its jobs.

        Raises:
            TrainingError: A call failed; or
            UserCodeError: it failed in the user's file.
        """
        failure, self._failure = self._failure, None
        jobs = self._function.take_jobs()
        if failure is not None:
            raise failure
        return jobs

    def on_host(self, wanted: str, *arrays: Array) -> np.ndarray:
        """Call `values` or `pulled`; NaN if that fails, or if an earlier call did."""
        given = [np.asarray(array, np.float64) for array in arrays]
        samples = len(given[1])
        shape = (samples, self._function.num_outputs) if wanted == "values" else given[0].shape
        with self._lock:
            if self._failure is None:
                try:
                    found = self._values(*given) if wanted == "values" else self._pulled(*given)
                    return np.asarray(found, np.float64).reshape(shape)
                except Exception as error:
                    self._failure = self._explained(error)
        return np.full(shape, np.nan)

    def _values(self, weights: np.ndarray, x: np.ndarray) -> np.ndarray:
        """Padding repeats a sample, which a device is asked for once."""
        rows, places = np.unique(x, axis=0, return_inverse=True)
        return self._patiently(self._function.values, [weights, rows])[places.reshape(-1)]

    def _pulled(self, weights: np.ndarray, x: np.ndarray, cotangent: np.ndarray) -> np.ndarray:
        """Padding has no part in the loss."""
        rows = cotangent.any(axis=1)
        if not rows.any():
            return np.zeros_like(weights)
        return self._patiently(self._function.pulled, [weights, x[rows], cotangent[rows]])

    def _patiently(
        self, function: Callable[..., np.ndarray], given: list[np.ndarray]
    ) -> np.ndarray:
        wait = self._patience.wait_s
        for _ in range(self._patience.retries):
            try:
                return self._in_time(function, given)
            except FedketError:
                raise
            except Exception:
                sleep(wait)
                wait *= 2
        return self._in_time(function, given)

    def _in_time(self, function: Callable[..., np.ndarray], given: list[np.ndarray]) -> np.ndarray:
        pool = ThreadPoolExecutor(1)
        try:
            return pool.submit(function, *given).result(self._patience.timeout_s)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _explained(self, error: Exception) -> FedketError:
        if isinstance(error, FedketError):
            return error
        if isinstance(error, OutOfTimeError) and not str(error):
            said = f"no answer within {self._patience.timeout_s:g} s"
        elif (known := in_user_code(error)) is not None:
            return known
        else:
            said = f"{type(error).__name__}: {' '.join(str(error).split())}"
        times = 1 + self._patience.retries
        return TrainingError(f"{self._function.name} failed {times} times, the last time: {said}")


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _values(device: Device, weights: Array, x: Array) -> Array:
    shape = x.shape[0], device.num_outputs
    result = jax.ShapeDtypeStruct(shape, weights.dtype)
    found: Array = jax.pure_callback(
        partial(_host, device, "values", result.dtype), result, weights, x, vmap_method="sequential"
    )
    return found


def _values_forward(device: Device, weights: Array, x: Array) -> tuple[Array, tuple[Array, Array]]:
    return _values(device, weights, x), (weights, x)


def _values_backward(
    device: Device, saved: tuple[Array, Array], cotangent: Array
) -> tuple[Array, Array]:
    weights, x = saved
    result = jax.ShapeDtypeStruct(weights.shape, weights.dtype)
    host = partial(_host, device, "pulled", result.dtype)
    gradient: Array = jax.pure_callback(
        host, result, weights, x, cotangent, vmap_method="sequential"
    )
    return gradient, jnp.zeros_like(x)


_values.defvjp(_values_forward, _values_backward)


def _host(device: Device, wanted: str, dtype: np.dtype, *arrays: Array) -> np.ndarray:
    return device.on_host(wanted, *arrays).astype(dtype)
