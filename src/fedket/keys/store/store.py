"""The pad store of one party: a pad byte is used once or never, whatever crashes.

The store holds this party's end of all its links. A link is two streams; its sender's end allocates
offsets (`reserve`), its receiver's end follows (`accept`). Bytes go AVAILABLE -> RESERVED ->
CONSUMED | BURNED, never back, and leave the store only when RESERVED is durable. Opening a store
burns what was reserved before.

A restored old copy of the directory knows nothing of what was used since. Therefore both ends
exchange their marks when they connect and go on from the larger (`connect`), and a receiver refuses
an offset below its mark. The protocol above must do its part: a sender spends a range only after
the receiver has accepted it. If both ends are restored to old copies, only a third who remembers
the marks (such as the server) can help; feed them to `advance`.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from operator import index
from pathlib import Path
from types import TracebackType
from typing import NoReturn

from fedket.errors import KeyMaterialError
from fedket.keys.material import KeyMaterial
from fedket.keys.store import streams
from fedket.keys.store.compaction import KEEP, compact
from fedket.keys.store.database import read_all_marks, read_marks
from fedket.keys.store.disk import CrashPoint, Disk, no_crash
from fedket.keys.store.ledger import KeyPurpose, Mode, PurposeOf, Use, check_name, uses_of
from fedket.keys.store.own import check_received, check_sent, own_numbers, own_stream
from fedket.keys.store.segments import add_segments, next_place, plan
from fedket.keys.store.session import Change, OpenStore
from fedket.keys.store.streams import Deposited, Reservation, holder
from fedket.types import Secret, Stream


class PadStore:
    """One party's pads, on disk. Open it with `PadStore.open`, in a `with` statement.

    Safe for several threads; not to be carried over a `fork`. Every method that changes something
    is one durable transaction (some milliseconds), and all-or-nothing. All raise `KeyMaterialError`
    when the store is closed or its disk fails, and its subclass `DiskFullError` when it is full.
    """

    def __init__(self, owner: int, session: OpenStore) -> None:
        self.owner = owner
        self._session = session

    @classmethod
    def open(
        cls,
        directory: Path,
        owner: int,
        *,
        store_key: Secret | None = None,
        crash_point: CrashPoint = no_crash,
    ) -> "PadStore":
        """Open a store, or make one where there is none; burns what was reserved before.

        Args:
            directory: Where it lies; only one process may have it open.
            owner: The party, a client (0 or more) or `SERVER`.
            store_key: 32 bytes that wrap its keys; by default those in `store.key` there.
            crash_point: For tests, see `disk`.

        Raises:
            DiskFullError: There is no room to write that reserved bytes are burned.
            KeyMaterialError: Another process has it open, it is another party's, its store key
                does not fit, or it is damaged.
        """
        owner = index(owner)
        return cls(owner, OpenStore(directory, owner, store_key, Disk(crash_point)))

    @property
    def directory(self) -> Path:
        """Where the store lies."""
        return self._session.directory

    def close(self) -> None:
        """Settle all reservations and let the store go; harmless when it is closed."""
        self._session.close()

    def __enter__(self) -> "PadStore":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise KeyMaterialError(f"{self!r} cannot be pickled or copied; pass the object itself")

    def __repr__(self) -> str:
        return f"PadStore({str(self.directory)!r}, owner {self.owner}, {self._session.state})"

    def deposit(
        self,
        stream: Stream,
        key_id: str,
        secret: Secret,
        start: int | None = None,
        keys: Sequence[str] = (),
    ) -> int:
        """Append key to a stream; it counts when this returns, and is gone when this raises.

        Both ends must deposit the same keys in the same order.

        Args:
            stream: Either direction of one of this party's links.
            key_id: Name of the key, 1 to 200 printable characters, the same at both ends.
            secret: The key, 1 byte or more. One large deposit is much quicker than many small.
            start: Offset at which it must go, as agreed with the other end; None for any.
            keys: Names of the keys it is made of, in their order, if it has a name of its own:
                `ledger.piece_name` of them.

        Returns:
            Offset of its first byte in the stream.

        Raises:
            KeyReusedError: The store was given it, or one of its keys, before, on any link.
            KeyMaterialError: The stream does not end at `start`.
        """
        stream = own_stream(self.owner, stream)
        for name in (key_id, *keys):
            check_name("key_id", name)
        content = secret.reveal()
        if not content:
            raise KeyMaterialError(f"key `{key_id}` for stream {stream} is empty; leave it out")
        with self._session.changing() as change:
            db = self._session.database
            streams.note_keys(db, key_id, keys or [key_id])
            end = read_marks(db, stream).deposited
            if start not in (None, end):
                raise KeyMaterialError(
                    f"key `{key_id}` was agreed on for byte {start} of stream {stream}, which now "
                    f"ends at byte {end}; let both ends connect again"
                )
            place = next_place(db, stream)
            change.written = plan(stream, end, len(content), place, self._session.files.slots())
            self._session.files.write(change.written, content)
            add_segments(db, change.written)
            change.entries.append(streams.deposit(db, stream, len(content), key_id))
        return end

    def reserve(
        self,
        lengths: Mapping[Stream, int],
        purpose: KeyPurpose | PurposeOf,
        run: str,
        round_num: int,
        mode: Mode = Mode.INFORMATION_THEORETIC,
    ) -> dict[Stream, int]:
        """Set aside the next bytes of streams this party sends on, all in one transaction.

        What is left of other rounds on these streams is burned.

        Args:
            lengths: Bytes to set aside on each; 0 sets nothing aside.
            purpose: What for; or a function that says it of each stream.
            run: Name of the run, 1 to 200 printable characters.
            round_num: Round number; goes up per stream, run and purpose, also over restarts.
            mode: How safe the use is; for the ledger.

        Returns:
            The offset on each stream, for the receiver.

        Raises:
            KeyReusedError: A stream had this round, or a later one.
            KeyExhaustedError: A stream has too little key; nothing is set aside on any.
        """
        wanted = own_numbers(self.owner, lengths, "a length")
        check_sent(self.owner, wanted)
        uses = uses_of(wanted, purpose, run, round_num, mode)
        with self._session.changing() as change:
            offsets = {s: read_marks(self._session.database, s).high_water for s in wanted}
            self._supersede(change, wanted, run, round_num)
            for stream, length in wanted.items():
                self._set_aside(change, stream, offsets[stream], length, uses[stream])
        return offsets

    def accept(
        self,
        ranges: Mapping[Stream, tuple[int, int]],
        purpose: KeyPurpose | PurposeOf,
        run: str,
        round_num: int,
        mode: Mode = Mode.INFORMATION_THEORETIC,
    ) -> None:
        """Set aside (offset, length) on streams this party receives on, all in one transaction.

        As the senders announced them. Bytes skipped over, and what is left of other rounds on
        these streams, are burned. Arguments otherwise as for `reserve`.

        Raises:
            KeyReusedError: An offset is below the stream's mark, or it had this round.
            KeyExhaustedError: A stream does not reach that far.
        """
        starts = own_numbers(
            self.owner, {s: start for s, (start, _) in ranges.items()}, "an offset"
        )
        lengths = own_numbers(
            self.owner, {s: length for s, (_, length) in ranges.items()}, "a length"
        )
        check_received(self.owner, starts)
        uses = uses_of(starts, purpose, run, round_num, mode)
        with self._session.changing() as change:
            self._supersede(change, starts, run, round_num)
            for stream, start in starts.items():
                db, length = self._session.database, lengths[stream]
                change.entries += streams.follow(db, stream, start, length)
                self._set_aside(change, stream, start, length, uses[stream])

    def take(
        self, stream: Stream, start: int, num_bytes: int, *, run: str, round_num: int
    ) -> KeyMaterial:
        """Hand out bytes [start, start + num_bytes) of a round's reservation, from low to high.

        Bytes skipped over are burned. Costs no transaction.

        Raises:
            KeyReusedError: Some of them were handed out or burned before.
            KeyExhaustedError: They reach beyond the reservation.
            KeyMaterialError: Nothing is reserved, no byte is asked for, or the bytes are damaged.
        """
        stream = own_stream(self.owner, stream)
        start, num_bytes = index(start), index(num_bytes)
        if num_bytes < 1:
            raise KeyMaterialError(f"asked for {num_bytes} bytes of key; ask for 1 or more")
        with self._session.using():
            live = [r for r in self._session.live([stream]) if r.use.is_for(run, round_num)]
            mark = read_marks(self._session.database, stream).high_water
            reservation = holder(live, stream, start, mark)
            reservation.check(start, num_bytes)
            secret = self._session.read(stream, start, start + num_bytes)
            reservation.hand_out(start, num_bytes)
            return KeyMaterial(secret)

    def burn(self, affected: Collection[Stream], run: str, round_num: int) -> None:
        """Give up what is left of a round's reservations; harmless when nothing is."""
        with self._session.changing() as change:
            live = self._session.live(affected)
            self._session.settle(change, [r for r in live if r.use.is_for(run, round_num)])

    def available(self, stream: Stream) -> int:
        """Bytes of a stream that can still be set aside at this end."""
        stream = own_stream(self.owner, stream)
        with self._session.using():
            return read_marks(self._session.database, stream).available

    def high_water_marks(self) -> dict[Stream, int]:
        """Per stream, the end of what was ever set aside or skipped; for the other end."""
        with self._session.using():
            marks = read_all_marks(self._session.database)
            return {stream: mark.high_water for stream, mark in marks.items()}

    def advance(self, marks: Mapping[Stream, int]) -> dict[Stream, int]:
        """Go on from the other end's marks where they are higher; lower ones change nothing.

        Bytes skipped over are burned; marks beyond the key that has come here count it as lost.

        Returns:
            Bytes burned per stream, where any were; for the log.
        """
        wanted = own_numbers(self.owner, marks, "a mark")
        skipped = dict[Stream, int]()
        with self._session.changing() as change:
            db = self._session.database
            for stream, mark in wanted.items():
                own = read_marks(db, stream).high_water
                if mark > own:
                    skipped[stream] = mark - own
                    change.entries.append(streams.skip(db, stream, mark))
        return skipped

    def reset(self, peer: int) -> dict[Stream, int]:
        """Burn all key of the link with a party that is there, whether it can be read or not.

        The other end goes on from the same marks when the ends connect, so that no byte that either
        of them may have used is used again.

        Returns:
            Bytes burned per stream, where any were.
        """
        return self.advance({s: self.end(s) for s in ((self.owner, peer), (peer, self.owner))})

    def compact(self, archive: Path, keep: int = KEEP) -> int:
        """Move all but the latest entries of the ledger to an archive; returns how many.

        Args:
            archive: A new file.
            keep: Entries that stay, 1 or more.

        Raises:
            KeyMaterialError: The archive is there already.
        """
        return compact(self._session, archive, keep)

    def end(self, stream: Stream) -> int:
        """Offset at which the next key of a stream goes."""
        stream = own_stream(self.owner, stream)
        with self._session.using():
            return read_marks(self._session.database, stream).deposited

    def deposits(self) -> dict[Stream, tuple[Deposited, ...]]:
        """Per stream, the keys that its available bytes are of, by name; for the other end."""
        with self._session.using():
            db = self._session.database
            return {stream: streams.read_deposits(db, stream) for stream in read_all_marks(db)}

    def withdraw(self, ends: Mapping[Stream, int]) -> dict[Stream, int]:
        """Erase available key behind these ends, which the other end does not hold likewise.

        Only while no deposit is under way at either end, and after `advance`; key below this
        end's mark stays.

        Returns:
            Bytes erased per stream, where any were; for the log.
        """
        wanted = own_numbers(self.owner, ends, "a mark")
        erased = dict[Stream, int]()
        with self._session.changing() as change:
            db = self._session.database
            for stream, offered in wanted.items():
                own = read_marks(db, stream)
                end = max(offered, own.high_water)
                if end < own.deposited:
                    erased[stream] = own.deposited - end
                    change.entries.append(streams.withdraw(db, stream, end))
        return erased

    def _supersede(self, change: Change, named: Iterable[Stream], run: str, round_num: int) -> None:
        """Settle what other rounds left on the streams that a round names."""
        live = self._session.live(named)
        self._session.settle(change, [r for r in live if not r.use.is_for(run, round_num)])

    def _set_aside(self, change: Change, stream: Stream, start: int, length: int, use: Use) -> None:
        """Reserve bytes from the stream's mark on; none if there are none to reserve."""
        if length:
            db = self._session.database
            streams.check_new_round(db, stream, use)
            change.entries.append(streams.reserve(db, stream, start, length, use))
            change.reserved.append(Reservation(stream, start, start + length, use))
