"""Ctrl-C, SIGTERM, a closed terminal: at once while computing, after the last byte while saving.

Work runs in a thread of its own and the main thread waits for it, so that a signal is served even
while XLA compiles. It raises `KeyboardInterrupt` there and nowhere else: a handler that raises
between any two instructions would lose files, and Python drops what it raises in a callback of
the garbage collector. A signal that comes while nobody waits is remembered until somebody does.
"""

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import contextmanager
from threading import Thread, current_thread, main_thread
from typing import TypeVar

T = TypeVar("T")

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""They ask a program to end."""

WAKE_SECONDS = 0.1
"""Longest time until a signal is noticed that came just before the main thread fell asleep."""


class Interrupts:
    """Whether somebody asked to stop, and whether stopping is possible right now."""

    def __init__(self) -> None:
        self._requested = False
        self._waiting = False

    def run(self, function: Callable[[], T]) -> T:
        """Call a function in another thread and return its result.

        What `jax.config.update` sets reaches it; what JAX's context managers set does not.

        Raises:
            KeyboardInterrupt: A signal came, now or earlier. The thread is left to itself: what it
                computes is thrown away, and it must change nothing.
        """
        future: Future[T] = Future()
        Thread(target=_work, args=(future, function)).start()
        try:
            self._waiting = True
            if self._requested:
                raise KeyboardInterrupt
            while not future.done():
                wait([future], timeout=WAKE_SECONDS)
            return future.result()
        finally:
            self._waiting = False

    def handle(self, _signal: int, _frame: object) -> None:
        """Be the signal handler."""
        self._requested = True
        if self._waiting:
            self._waiting = False
            raise KeyboardInterrupt


@contextmanager
def handled_interrupts() -> Iterator[Interrupts]:
    """Handle `SIGNALS` in here; nested uses share what they remember.

    Elsewhere than in the main thread no signals arrive.
    """
    outer = getattr(signal.getsignal(signal.SIGINT), "__self__", None)
    if isinstance(outer, Interrupts) or current_thread() is not main_thread():
        yield outer if isinstance(outer, Interrupts) else Interrupts()
        return
    interrupts, signals = Interrupts(), list(SIGNALS)
    if signal.getsignal(signal.SIGHUP) == signal.SIG_IGN:  # by `nohup`
        signals.remove(signal.SIGHUP)
    before = [signal.signal(number, interrupts.handle) for number in signals]
    try:
        yield interrupts
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


def _work(future: "Future[T]", function: Callable[[], T]) -> None:
    try:
        future.set_result(function())
    except BaseException as error:
        future.set_exception(error)
