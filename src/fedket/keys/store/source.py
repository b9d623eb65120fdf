"""Pad stores as the `KeySource` of the protocols, for one party or for several in one process."""

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from fedket.errors import KeyMaterialError, KeyReusedError
from fedket.keys.material import KeyMaterial
from fedket.keys.store.ledger import KeyPurpose
from fedket.keys.store.store import PadStore
from fedket.types import SERVER, Stream


def usual_purpose(stream: Stream) -> KeyPurpose:
    """Clients share pads with each other, and MAC keys with the server."""
    return KeyPurpose.MAC if SERVER in stream else KeyPurpose.PAD


class StoreKeySource:
    """`fedket.types.KeySource` over open pad stores; closing them is the caller's.

    Reserving and accepting are one transaction each, and burning where anything is left; spending
    is none.

    Args:
        stores: Party -> its store; all parties this process acts for.
        run: Name of the run. Rounds go up per run, also over restarts: a resumed run that repeats
            a round needs a name of its own.
        admit: Raises `KeyMaterialError` if some of these streams may not be used now.
    """

    def __init__(
        self,
        stores: Mapping[int, PadStore],
        run: str,
        admit: Callable[[Collection[Stream]], None] = lambda _: None,
    ) -> None:
        self._stores, self._run, self._admit = dict(stores), run, admit
        self._latest: dict[tuple[int, Stream], _Latest] = {}

    def reserve(
        self, round_num: int, client_id: int, lengths: Mapping[Stream, int]
    ) -> dict[Stream, int]:
        """Set aside bytes on streams that `client_id` sends on; see `KeySource`."""
        store = self._store(client_id)
        self._admit(lengths.keys())
        offsets = store.reserve(lengths, usual_purpose, self._run, round_num)
        for stream, start in offsets.items():
            self._latest[client_id, stream] = _Latest(round_num, start)
        return offsets

    def accept(
        self, round_num: int, client_id: int, ranges: Mapping[Stream, tuple[int, int]]
    ) -> None:
        """Set aside the announced bytes on streams that `client_id` receives on."""
        self._admit(ranges.keys())
        self._store(client_id).accept(ranges, usual_purpose, self._run, round_num)
        for stream, (start, _) in ranges.items():
            self._latest[client_id, stream] = _Latest(round_num, start)

    def spend(
        self, round_num: int, client_id: int, stream: Stream, start: int, num_bytes: int
    ) -> KeyMaterial:
        """Hand this end bytes [start, start + num_bytes) of the round's reservation."""
        store, latest = self._store(client_id), self._latest.get((client_id, stream))
        if latest is None or round_num > latest.round_num or start < 0:
            raise KeyMaterialError(
                f"byte {start} of round {round_num} on stream {stream} was never reserved by "
                f"party {client_id}; reserve first"
            )
        if round_num < latest.round_num:
            raise KeyReusedError(
                f"stream {stream} is in round {latest.round_num} at party {client_id}: the key of "
                f"round {round_num} is spent or burned; start a new round"
            )
        first = latest.start + start
        return store.take(stream, first, num_bytes, run=self._run, round_num=round_num)

    def burn(self, round_num: int, client_id: int, streams: Collection[Stream]) -> None:
        """Give up what is left of this end's reservations of the round; harmless when none is."""
        self._store(client_id).burn(streams, self._run, round_num)

    def _store(self, client_id: int) -> PadStore:
        store = self._stores.get(client_id)
        if store is None:
            raise KeyMaterialError(
                f"no pad store of party {client_id} is open here, only of "
                f"{sorted(self._stores)}; ask where that party is"
            )
        return store


class _Latest(NamedTuple):
    """The latest round of an end of a stream, and where its reservation begins."""

    round_num: int
    start: int
