"""Many calls at a time: for KMEs that hand out few and short keys per call.

A KME of one 256-bit key per call and 5 ms an answer gives 51 kbit/s to who waits for each answer
before asking again, and a multiple of that over several connections.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from threading import Lock
from typing import NamedTuple, TypeVar

from fedket.keys.etsi014.answers import DeliveredKey
from fedket.keys.etsi014.client import Kme
from fedket.keys.etsi014.errors import KmeError
from fedket.keys.etsi014.sizing import Request

T = TypeVar("T")
R = TypeVar("R")
Keys = tuple[DeliveredKey, ...]


class Gathered(NamedTuple):
    """What calls for new keys brought.

    Attributes:
        keys: All that came.
        request: What each call asked for.
        error: What the first call that failed ended with; no further one was begun.
    """

    keys: Keys
    request: Request
    error: KmeError | None


def gather(kme: Kme, peer: str, request: Request, calls: int) -> Gathered:
    """Ask for new keys, so many times; what came before a failure counts."""
    failed: list[KmeError] = []

    def ask(_: int) -> Keys:
        if failed:
            return ()
        try:
            return kme.enc_keys(peer, request.number, 8 * request.size_bytes)
        except KmeError as error:
            failed.append(error)
            return ()

    brought = in_parallel(ask, range(calls), kme.connections)
    return Gathered(tuple(chain.from_iterable(brought)), request, next(iter(failed), None))


def collect(
    fetch: Callable[[Sequence[str]], Keys], key_ids: Sequence[str], per_call: int, connections: int
) -> Keys:
    """Fetch named keys, so many per call, in the order of their names.

    Raises:
        KmeError: A call ends with it.
    """
    parts = [key_ids[at : at + per_call] for at in range(0, len(key_ids), per_call)]
    return tuple(chain.from_iterable(in_parallel(fetch, parts, connections)))


def in_parallel(do: Callable[[T], R], each: Sequence[T], workers: int) -> list[R]:
    """Do something with each, several at a time; the first error ends it."""
    if len(each) == 1 or workers == 1:
        return [do(one) for one in each]
    waiting, lock = iter(enumerate(each)), Lock()
    done: dict[int, R] = {}

    def next_one() -> tuple[int, T] | None:
        with lock:
            return next(waiting, None)

    def work(_: int) -> None:
        for i, one in _until_none(next_one):
            try:
                done[i] = do(one)
            except BaseException:
                with lock:
                    list(waiting)  # nobody goes on
                raise

    with ThreadPoolExecutor(min(workers, len(each))) as pool:
        list(pool.map(work, range(min(workers, len(each)))))
    return [done[i] for i in range(len(each))]


def _until_none(next_one: Callable[[], T | None]) -> Iterator[T]:
    while (one := next_one()) is not None:
        yield one
