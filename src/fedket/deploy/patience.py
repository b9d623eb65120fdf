"""Waiting for key that the links have not made yet.

A fetch tries for some seconds by itself (`fedket.keys.etsi014.fetch`); slow links take longer.
"""

import time
from collections.abc import Callable

from fedket.keys.etsi014.errors import KmeBusyError

RETRY_S = 5.0


def fill_patiently(
    fill: Callable[[], int],
    deadline: float,
    say: Callable[[str], None] = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Fill streams with key, or wait for it; returns what `fill` does.

    Args:
        fill: Fills them, or raises.
        deadline: Seconds after which no further attempt begins.
        say: Told once that there is something to wait for.
        sleep: Waits for a number of seconds.

    Raises:
        KmeError: Of another kind, or still, after the deadline.
    """
    end, waiting = time.monotonic() + deadline, False
    while True:
        try:
            return fill()
        except KmeBusyError as error:
            if time.monotonic() + RETRY_S > end:
                raise
            if not waiting:
                say(f"waiting for key, {deadline:g} s at most: {error}")
            waiting = True
            sleep(RETRY_S)
