"""Checks of what callers ask of a pad store.

Numbers are turned into Python's own: SQLite would store a numpy integer as a blob.
"""

from collections.abc import Callable, Mapping, Sequence
from operator import index

from fedket.errors import KeyMaterialError
from fedket.keys.store.audit import Mode, Purpose, Use
from fedket.types import SERVER, Stream

Division = Callable[[Stream, int], Sequence[tuple[Purpose, int]]]
"""(stream, number of bytes) -> how many of them, in order, are for which purpose."""

NAME_LENGTH = 200

MAX_OFFSET = 1 << 62
"""SQLite's integers end below 2**63."""


def link_of(owner: int, stream: Stream) -> Stream:
    """Return a stream of one of the owner's links.

    Raises:
        KeyMaterialError: It is not.
    """
    sender, receiver = index(stream[0]), index(stream[1])
    if sender == receiver or min(sender, receiver) < SERVER or owner not in (sender, receiver):
        raise KeyMaterialError(
            f"the store of party {owner} has no stream {(sender, receiver)}; its streams go from "
            "or to it, between clients (0 and up) or the server (-1)"
        )
    return sender, receiver


def sent_lengths(owner: int, lengths: Mapping[Stream, int]) -> dict[Stream, int]:
    """Return what to set aside on streams that the owner sends on.

    Raises:
        KeyMaterialError: Another party allocates one of them, or a length is out of range.
    """
    found = {link_of(owner, stream): index(length) for stream, length in lengths.items()}
    for (sender, receiver), length in found.items():
        if sender != owner:
            raise KeyMaterialError(
                f"party {owner} cannot reserve on stream {(sender, receiver)}: its sender "
                "allocates it; accept what the sender announces"
            )
        _check_number("a length", length)
    return found


def received_ranges(
    owner: int, ranges: Mapping[Stream, tuple[int, int]]
) -> dict[Stream, tuple[int, int]]:
    """Return (offset, length) on streams that the owner receives on.

    Raises:
        KeyMaterialError: The owner sends on one of them, or a number is out of range.
    """
    found = {link_of(owner, s): (index(r[0]), index(r[1])) for s, r in ranges.items()}
    for (sender, receiver), (start, length) in found.items():
        if receiver != owner:
            raise KeyMaterialError(
                f"party {owner} cannot accept on stream {(sender, receiver)}, which it sends on; "
                "reserve instead"
            )
        _check_number("an offset", start)
        _check_number("a length", length)
    return found


def offsets_of(owner: int, marks: Mapping[Stream, int]) -> dict[Stream, int]:
    """Return offsets on streams of the owner's links.

    Raises:
        KeyMaterialError: A stream is of another link, or an offset out of range.
    """
    found = {link_of(owner, stream): index(mark) for stream, mark in marks.items()}
    for mark in found.values():
        _check_number("a mark", mark)
    return found


def uses_of(
    lengths: Mapping[Stream, int],
    purpose: Purpose | Division,
    run: str,
    round_num: int,
    mode: Mode,
) -> dict[Stream, list[tuple[Use, int]]]:
    """Return per stream the uses of its bytes, one after the other, with their lengths.

    Raises:
        KeyMaterialError: The run or the round is malformed, or a division does not fit a length.
    """
    check_name("run", run)
    _check_number("a round number", index(round_num))

    def use(part: Purpose) -> Use:
        return Use(part.value, run, index(round_num), mode.value)

    uses = dict[Stream, list[tuple[Use, int]]]()
    for stream, length in lengths.items():
        parts = [(purpose, length)] if isinstance(purpose, Purpose) else purpose(stream, length)
        numbers = [index(number) for _, number in parts]
        if sum(numbers) != length or min(numbers, default=0) < 0:
            raise KeyMaterialError(
                f"{length} bytes of stream {stream} were divided into {numbers}; the parts must "
                "make up the whole"
            )
        uses[stream] = [(use(part), n) for (part, _), n in zip(parts, numbers, strict=True) if n]
    return uses


def check_name(what: str, name: str) -> None:
    """Refuse names that do not fit on a line of the ledger.

    Raises:
        KeyMaterialError: It is empty, too long, or not printable.
    """
    if not 0 < len(name) <= NAME_LENGTH or not name.isprintable():
        raise KeyMaterialError(
            f"`{what}` has 1 to {NAME_LENGTH} printable characters, got {name[:40]!r} "
            f"({len(name)} characters)"
        )


def _check_number(what: str, number: int) -> None:
    if not 0 <= number <= MAX_OFFSET:
        raise KeyMaterialError(f"{what} is from 0 to {MAX_OFFSET}, got {number}")
