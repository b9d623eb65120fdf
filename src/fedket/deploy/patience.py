"""Waiting for key that is not there yet.

A fetch tries for some seconds by itself (`fedket.keys.etsi014.fetch`); slow links and a key manager
that is being restarted take longer.
"""

import time
from collections.abc import Callable

from fedket.keys.etsi014.errors import KmeBusyError, KmeError, KmeUnreachableError

RETRY_S = 5.0

TOO_LITTLE = (KmeBusyError,)
"""The links have not made enough key yet."""

NO_KEY_MANAGER = (KmeBusyError, KmeUnreachableError)
"""That, or nobody to ask for it."""


def fill_patiently(
    fill: Callable[[], None],
    later: tuple[type[KmeError], ...],
    deadline: float,
    say: Callable[[str], None] = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Fill streams with key, or wait for it.

    Args:
        fill: Fills them, or raises.
        later: Errors after which another attempt makes sense.
        deadline: Seconds after which no further attempt begins.
        say: Told once that there is something to wait for.
        sleep: Waits for so many seconds.

    Raises:
        KmeError: Of another kind, or still, after the deadline.
    """
    end, waiting = time.monotonic() + deadline, False
    while True:
        try:
            return fill()
        except later as error:
            if time.monotonic() + RETRY_S > end:
                raise
            if not waiting:
                say(f"waiting for key, {deadline:g} s at most: {error}")
            waiting = True
            sleep(RETRY_S)
