"""Asking again: what a KME cannot do now it may be able to do a little later."""

import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TypeVar

from fedket.keys.etsi014.client import Kme
from fedket.keys.etsi014.errors import (
    KmeBusyError,
    KmeError,
    KmeRefusedError,
    KmeUnreachableError,
)
from fedket.keys.etsi014.pipeline import Keys
from fedket.keys.etsi014.sizing import plan

T = TypeVar("T")

LATER = (KmeBusyError, KmeUnreachableError)
"""What a KME may recover from."""


def fetch_new(
    kme: Kme,
    peer: str,
    num_bytes: int,
    pauses: Sequence[float] = (),
    sleep: Callable[[float], None] = time.sleep,
) -> Keys:
    """Fetch keys of one call that nobody else has: `num_bytes`, or what one call may have at most.

    Raises:
        KmeError: By kind; `KmeBusyError` and `KmeUnreachableError` after the last pause only.
    """
    left = iter(pauses)
    status = patiently(partial(kme.status, peer), LATER, left, sleep)
    number, size_bytes = plan(status, num_bytes)
    return patiently(partial(kme.enc_keys, peer, number, 8 * size_bytes), LATER, left, sleep)


def fetch_chosen(
    kme: Kme,
    peer: str,
    key_ids: Sequence[str],
    size_bits: int,
    pauses: Sequence[float] = (),
    sleep: Callable[[float], None] = time.sleep,
) -> Keys:
    """Fetch the keys that a master named; its KME may know of them before ours.

    Raises:
        KmeError: Still, after the last pause.
    """
    ask = partial(kme.dec_keys, peer, key_ids, size_bits)
    return patiently(ask, (*LATER, KmeRefusedError), iter(pauses), sleep)


def patiently(
    attempt: Callable[[], T],
    kinds: tuple[type[KmeError], ...],
    pauses: Iterator[float],
    sleep: Callable[[float], None],
) -> T:
    """Attempt until it works, pausing after errors of these kinds while pauses are left."""
    while True:
        try:
            return attempt()
        except kinds as error:
            wait(error, pauses, sleep)


def wait(error: KmeError, pauses: Iterator[float], sleep: Callable[[float], None]) -> None:
    """Pause, or raise the error if there is no pause left."""
    pause = next(pauses, None)
    if pause is None:
        raise error
    sleep(pause)
