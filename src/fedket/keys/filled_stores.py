"""Pad stores that ask key managers for more when a round needs it, for all parties of one process.

The sender of a stream is the master of its keys. Every party has an application (SAE) of its own,
with its own certificate, as on separate machines; only the messages between the two ends of a link
are function calls here.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from math import inf
from time import perf_counter

from fedket.errors import ConfigError
from fedket.keys.etsi014.client import connect
from fedket.keys.etsi014.config import SaeConfig
from fedket.keys.etsi014.errors import KmeBusyError, KmeUnreachableError
from fedket.keys.etsi014.fetch import MasterEnd, SlaveEnd
from fedket.keys.store import PadStore, StoreKeySource
from fedket.types import KeyWait, Stream

Fill = Callable[[Stream, int], object]
"""(stream, bytes) -> deposits at least so many more at both ends; raises `KmeError`."""


class FilledStores(StoreKeySource):
    """`fedket.types.PacedKeySource` over the pad stores of all parties in one process.

    Key is fetched when somebody asks how long it takes: waiting happens there, on the wall clock.

    Args:
        stores: Party -> its open store; closing them is the caller's.
        run: Name of the run, another for every start of it, see `StoreKeySource`.
        fill: Where more key comes from.
    """

    def __init__(self, stores: Mapping[int, PadStore], run: str, fill: Fill) -> None:
        super().__init__(stores, run)
        self._fill, self._waited_s, self._problem = fill, 0.0, ""

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


@contextmanager
def kme_links(
    saes: Mapping[int, SaeConfig],
    stores: Mapping[int, PadStore],
    pauses: Sequence[float] = (),
) -> Iterator[Fill]:
    """Open a client of every party's key manager and yield how streams are filled.

    Args:
        saes: Party -> its application.
        stores: Party -> its pad store.
        pauses: Seconds to wait before each further attempt when a KME has too little key.

    Raises:
        ConfigError: Two parties have the same SAE ID.
        KmeCertificateError: A certificate, key or CA file is unusable.
    """
    ids = [sae.sae_id for sae in saes.values()]
    if len(set(ids)) < len(ids):
        raise ConfigError(f"every party needs an SAE ID of its own, got {sorted(ids)}")
    with ExitStack() as stack:
        kmes = {party: stack.enter_context(connect(sae)) for party, sae in saes.items()}
        masters: dict[Stream, MasterEnd] = {}

        def master(stream: Stream) -> MasterEnd:
            sender, receiver = stream
            ours, theirs = saes[sender].sae_id, saes[receiver].sae_id
            slave = SlaveEnd(stream, kmes[receiver], ours, stores[receiver], pauses)
            return MasterEnd(stream, kmes[sender], theirs, slave.answer, stores[sender], pauses)

        def fill(stream: Stream, num_bytes: int) -> None:
            if stream not in masters:
                masters[stream] = master(stream)
            masters[stream].fetch(num_bytes)

        yield fill
