"""Circuits on a user's own device: values and gradients through a callback of the compiled program.

What runs in the callback knows NumPy only, and is called by one thread at a time. A callback must
not raise: what goes wrong is kept, the program gets NaN, and `Device.finish` says it.
"""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as OutOfTimeError
from functools import partial
from time import sleep
from typing import NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float

from fedket.errors import FedketError, TrainingError
from fedket.user_code import in_user_code

Values = Callable[[np.ndarray, np.ndarray], np.ndarray]
Pulled = Callable[[np.ndarray, np.ndarray, np.ndarray], tuple[np.ndarray, np.ndarray]]


Arrays = tuple[np.ndarray, ...]
Calls = Callable[..., Arrays]


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
        values: (weights (W,), rows (batch, R)) -> (batch, num_outputs).
        pulled: (weights, rows, cotangent (batch, num_outputs)) -> gradients (W,), summed over
            samples, and (batch, R); zeros for what is not differentiated.
        take_jobs: Ids of the device's jobs since it was asked last.
        cancel: Called when a call took too long.
    """

    name: str
    num_outputs: int
    values: Values
    pulled: Pulled
    take_jobs: Callable[[], tuple[str, ...]] = tuple
    cancel: Callable[[], object] = tuple


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
        self, weights: Float[Array, " weights"], rows: Float[Array, "batch columns"]
    ) -> Float[Array, "batch outputs"]:
        """Values of a batch; differentiable in what the function differentiates."""
        return _values(self, weights, rows)

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

    def values(self, weights: Array, rows: Array) -> np.ndarray:
        """What the program calls for values; a row that is there twice is asked for once."""
        unique, places = np.unique(np.asarray(rows, np.float64), axis=0, return_inverse=True)
        failed = (np.full((len(unique), self.num_outputs), np.nan),)
        (found,) = self._call(
            lambda *given: (self._function.values(*given),), failed, weights, unique
        )
        return found.reshape(-1, self.num_outputs)[places.reshape(-1)]

    def pulled(
        self, weights: Array, rows: Array, cotangent: Array
    ) -> tuple[np.ndarray, np.ndarray]:
        """What the program calls for gradients; padding has no part in the loss."""
        used = np.asarray(cotangent).any(axis=1)
        of_rows = np.zeros(rows.shape)
        if not used.any():
            return np.zeros(weights.shape), of_rows
        chosen = np.asarray(rows)[used], np.asarray(cotangent)[used]
        failed = np.full(weights.shape, np.nan), np.full(chosen[0].shape, np.nan)
        of_weights, of_rows[used] = self._call(self._function.pulled, failed, weights, *chosen)
        return of_weights, of_rows

    def _call(self, function: Calls, failed: Arrays, *arrays: Array | np.ndarray) -> Arrays:
        """The function's results, or `failed` if it or an earlier call failed."""
        given = [np.asarray(array, np.float64) for array in arrays]
        with self._lock:
            if self._failure is None:
                try:
                    return self._patiently(function, given)
                except Exception as error:
                    self._failure = self._explained(error)
        return failed

    def _patiently(self, function: Calls, given: list[np.ndarray]) -> Arrays:
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

    def _in_time(self, function: Calls, given: list[np.ndarray]) -> Arrays:
        """In a thread that the process does not wait for at its end, should the device hang."""
        outcome: Future[Arrays] = Future()

        def work() -> None:
            try:
                outcome.set_result(function(*given))
            except BaseException as error:
                outcome.set_exception(error)

        threading.Thread(target=work, daemon=True).start()
        try:
            return outcome.result(self._patience.timeout_s)
        except OutOfTimeError:
            self._function.cancel()
            raise

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
def _values(device: Device, weights: Array, rows: Array) -> Array:
    result = jax.ShapeDtypeStruct((rows.shape[0], device.num_outputs), weights.dtype)

    def host(weights: Array, rows: Array) -> np.ndarray:
        return device.values(weights, rows).astype(result.dtype)

    found: Array = jax.pure_callback(host, result, weights, rows, vmap_method="sequential")
    return found


def _values_forward(
    device: Device, weights: Array, rows: Array
) -> tuple[Array, tuple[Array, Array]]:
    return _values(device, weights, rows), (weights, rows)


def _values_backward(
    device: Device, saved: tuple[Array, Array], cotangent: Array
) -> tuple[Array, Array]:
    dtype = cotangent.dtype
    results = tuple(jax.ShapeDtypeStruct(array.shape, dtype) for array in saved)

    def host(*arrays: Array) -> Arrays:
        return tuple(found.astype(dtype) for found in device.pulled(*arrays))

    of_weights, of_rows = jax.pure_callback(
        host, results, *saved, cotangent, vmap_method="sequential"
    )
    return of_weights, of_rows


_values.defvjp(_values_forward, _values_backward)
