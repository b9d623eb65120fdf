"""Pad stores that ask key managers for more when a round needs it."""

from collections.abc import Callable, Collection, Mapping
from math import inf
from time import perf_counter

from fedket.keys.etsi014.errors import KmeBusyError, KmeUnreachableError
from fedket.keys.material import KeyMaterial
from fedket.keys.store import PadStore, StoreKeySource
from fedket.types import KeyWait, Stream

Fill = Callable[[Stream, int], object]
"""(stream, bytes) -> deposits at least so many more at both ends; raises `KmeError`."""


class FilledStores:
    """`fedket.types.PacedKeySource` over the pad stores of all parties in one process.

    Key is fetched when somebody asks how long it takes: waiting happens there, on the wall clock.

    Args:
        stores: Party -> its open store; closing them is the caller's.
        run: Name of the run, another for every start of it, see `StoreKeySource`.
        fill: Where more key comes from.
    """

    def __init__(self, stores: Mapping[int, PadStore], run: str, fill: Fill) -> None:
        self._stores, self._source, self._fill = dict(stores), StoreKeySource(stores, run), fill
        self._waited_s, self._problem = 0.0, ""

    def waiting_time(self, lengths: Mapping[Stream, int]) -> KeyWait:
        """Fetch what is missing; 0 s if all of it is there then, else inf and the short link.

        Raises:
            KmeError: A key manager refuses or answers nonsense: waiting would not help.
        """
        start, self._problem = perf_counter(), ""
        try:
            for stream, num_bytes in lengths.items():
                missing = num_bytes - self._available(stream)
                if missing > 0 and not self._try_fill(stream, missing):
                    return KeyWait(inf, (min(stream), max(stream)))
        finally:
            self._waited_s += perf_counter() - start
        return KeyWait(0.0, None)

    def waited_s(self) -> float:
        """Return the wall time spent on fetching."""
        return self._waited_s

    def levels(self) -> dict[tuple[int, int], int]:
        """Return the key bits in store of every link, both directions together."""
        levels: dict[tuple[int, int], int] = {}
        for owner, store in self._stores.items():
            for stream in store.high_water_marks():
                if stream[0] == owner:
                    pair = (min(stream), max(stream))
                    levels[pair] = levels.get(pair, 0) + 8 * self._available(stream)
        return levels

    def problem(self) -> str:
        """Return what the latest failed attempt to fetch key ended with."""
        return self._problem

    def advance(self, seconds: float) -> None:
        """Do nothing: key managers run on the wall clock."""

    def reserve(
        self, round_num: int, client_id: int, lengths: Mapping[Stream, int]
    ) -> dict[Stream, int]:
        """See `KeySource.reserve`; durable, one transaction."""
        return self._source.reserve(round_num, client_id, lengths)

    def accept(
        self, round_num: int, client_id: int, ranges: Mapping[Stream, tuple[int, int]]
    ) -> None:
        """See `KeySource.accept`; durable, one transaction."""
        self._source.accept(round_num, client_id, ranges)

    def spend(
        self, round_num: int, client_id: int, stream: Stream, start: int, num_bytes: int
    ) -> KeyMaterial:
        """See `KeySource.spend`."""
        return self._source.spend(round_num, client_id, stream, start, num_bytes)

    def burn(self, round_num: int, client_id: int, streams: Collection[Stream]) -> None:
        """See `KeySource.burn`."""
        self._source.burn(round_num, client_id, streams)

    def _available(self, stream: Stream) -> int:
        return min(self._stores[end].available(stream) for end in stream)

    def _try_fill(self, stream: Stream, missing: int) -> bool:
        """Fetch; False if the key manager has too little now."""
        try:
            self._fill(stream, missing)
        except (KmeBusyError, KmeUnreachableError) as error:
            self._problem = str(error)
            return False
        return True
