"""How far the key of a round has come at a site, in words for those who wait for it."""

import time
from collections.abc import Callable, Mapping

SILENT_S = 5.0
"""A shorter wait is not worth a word."""

Left = Callable[[], Mapping[int, tuple[int, float]]]
"""-> peer -> bytes of key that are ready, and for how many rounds like this one."""


class KeyWait:
    """The wait for one round's key.

    Args:
        left: The key there is.
        clock: Seconds.
    """

    def __init__(self, left: Left, clock: Callable[[], float] = time.monotonic) -> None:
        self._left, self._clock = left, clock
        self._begun, self._first = clock(), self._share()

    def in_words(self) -> str:
        """What is waited for, and how long it may take at the pace so far; nothing at first."""
        waited = self._clock() - self._begun
        if waited < SILENT_S:
            return ""
        share = self._share()
        if (pace := (share - self._first) / waited) <= 0:
            return f"waits for key: {100 * share:.0f} % of the round's, none came so far"
        return (
            f"waits for key: {100 * share:.0f} % of the round's, about "
            f"{(1 - share) / pace:.0f} s to go"
        )

    def _share(self) -> float:
        """Of the round's key, that of the link with the least of it."""
        return min((min(1.0, rounds) for _, rounds in self._left().values()), default=0.0)
