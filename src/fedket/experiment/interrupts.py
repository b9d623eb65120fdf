"""Ctrl-C and SIGTERM: at once while computing, after the last byte while saving.

A Python signal handler may raise between any two instructions. Inside `abortable` that is wanted:
what was being computed is given up. Outside, a signal is only remembered until the next
`abortable` begins, so that nothing is left half-done, however often Ctrl-C is pressed.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from threading import current_thread, main_thread


class Interrupts:
    """Whether somebody asked to stop, and whether stopping is possible right now."""

    def __init__(self) -> None:
        self._requested = False
        self._abortable = False

    @contextmanager
    def abortable(self) -> Iterator[None]:
        """Let a signal raise `KeyboardInterrupt` in here; one that came before raises at once."""
        try:
            self._abortable = True
            if self._requested:
                raise KeyboardInterrupt
            yield
        finally:
            self._abortable = False

    def handle(self, _signal: int, _frame: object) -> None:
        """Be the signal handler."""
        self._requested = True
        if self._abortable:
            self._abortable = False
            raise KeyboardInterrupt


@contextmanager
def handled_interrupts() -> Iterator[Interrupts]:
    """Handle SIGINT and SIGTERM in here; elsewhere than in the main thread none arrive."""
    interrupts = Interrupts()
    if current_thread() is not main_thread():
        yield interrupts
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, interrupts.handle) for number in signals]
    try:
        yield interrupts
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
