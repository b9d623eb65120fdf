"""What the two ends of a link tell each other when they connect.

Both exchange `high_water_marks` and `advance` to the larger, so that no end, however old a copy it
was restored from, allocates a byte that the other end saw used. Then both exchange `deposits`, the
names of the keys they hold and where, and `withdraw` from the first byte on that is not of the same
key at both, so that the next keys come to the same offsets: after a crash an end may hold a key
more, and an old copy another key than its place was given to later. Both steps only while no
deposit is under way. Ends in different processes send these numbers and names (they are no
secrets) in messages; `connect` does it for ends in one process.
"""

from collections.abc import Iterable, Sequence

from fedket.keys.store.store import PadStore
from fedket.keys.store.streams import Deposited


def connect(stores: Iterable[PadStore]) -> None:
    """Bring the ends of all links between some stores to the same marks and the same keys.

    Raises:
        KeyMaterialError: As `PadStore.advance` and `PadStore.withdraw`.
    """
    ends = {store.owner: store for store in stores}
    said = {owner: store.high_water_marks() for owner, store in ends.items()}
    links = {stream for marks in said.values() for stream in marks if set(stream) <= set(ends)}
    marks = {stream: max(said[end].get(stream, 0) for end in stream) for stream in links}
    for owner, store in ends.items():
        store.advance({stream: mark for stream, mark in marks.items() if owner in stream})
    held = {owner: store.deposits() for owner, store in ends.items()}
    agreed = {
        (a, b): agreed_end(mark, held[a].get((a, b), ()), held[b].get((a, b), ()))
        for (a, b), mark in marks.items()
    }
    for owner, store in ends.items():
        store.withdraw({stream: end for stream, end in agreed.items() if owner in stream})


def agreed_end(mark: int, ours: Sequence[Deposited], theirs: Sequence[Deposited]) -> int:
    """Return the offset up to which both ends hold the same keys at the same places.

    Args:
        mark: Offset from which they are compared.
        ours: Keys of a stream at one end, from low to high.
        theirs: Keys of the stream at the other end.
    """
    end = mark
    while True:
        one, other = _at(ours, end), _at(theirs, end)
        if one is None or other is None or one[::2] != other[::2]:
            return end
        end = min(one.end, other.end)


def _at(keys: Sequence[Deposited], offset: int) -> Deposited | None:
    """The key that a byte is of."""
    return next((key for key in keys if key.start <= offset < key.end), None)
