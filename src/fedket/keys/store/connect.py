"""What the two ends of a link tell each other when they connect.

Both exchange `high_water_marks` and `advance` to the larger, so that no end, however old a copy it
was restored from, allocates a byte that the other end saw used. Then both exchange `deposit_ends`
and `withdraw` what only one of them holds, so that the next keys come to the same offsets. Both
steps only while no deposit is under way. Ends in different processes send these numbers (they are
no secrets) in messages; `connect` does it for ends in one process.
"""

from collections.abc import Callable, Iterable, Mapping

from fedket.keys.store.pads import PadStore
from fedket.types import Stream


def connect(stores: Iterable[PadStore]) -> None:
    """Bring the ends of all links between some stores to the same marks.

    Raises:
        KeyMaterialError: As `PadStore.advance` and `PadStore.withdraw`.
    """
    ends = {store.owner: store for store in stores}
    marks = _merged(ends, PadStore.high_water_marks, max)
    for owner, store in ends.items():
        store.advance({stream: mark for stream, mark in marks.items() if owner in stream})
    deposits = _merged(ends, PadStore.deposit_ends, min)
    for owner, store in ends.items():
        store.withdraw({stream: end for stream, end in deposits.items() if owner in stream})


def _merged(
    ends: Mapping[int, PadStore],
    ask: Callable[[PadStore], dict[Stream, int]],
    choose: Callable[[int, int], int],
) -> dict[Stream, int]:
    """What both ends of each stream say, merged; of streams with both ends here."""
    said = {owner: ask(store) for owner, store in ends.items()}
    both = {stream for offsets in said.values() for stream in offsets if set(stream) <= set(ends)}
    return {
        (sender, receiver): choose(
            said[sender].get((sender, receiver), 0), said[receiver].get((sender, receiver), 0)
        )
        for sender, receiver in both
    }
