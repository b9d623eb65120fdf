"""Key streams from simulated QKD links, paced by a simulated clock, for all parties in one process.

Nothing here protects data: the photons, the fibres and the eavesdropper are simulated, and both
ends of every link live in this process. What is real is the arithmetic of the security proof, the
post-processing, and the bookkeeping that uses each byte once. Key comes in whole blocks, as it does
from hardware; `reserve` waits for them on the simulated clock, so a run shows how long it would
have waited for its key.

The streams (i, j) and (j, i) share what the link of i and j distils, first come first served. Not
safe for several threads.
"""

from collections import defaultdict
from collections.abc import Mapping
from math import inf
from typing import Literal

from fedket.errors import ConfigError, KeyExhaustedError, KeyMaterialError
from fedket.keys.qkd.link import Link
from fedket.keys.qkd.link_run import LinkRun, LinkSettings
from fedket.keys.qkd.network import FibreNetwork, Pair, ordered
from fedket.keys.streams import StreamSource
from fedket.types import KeyWait, Stream

PostProcessing = Literal["auto", "full", "sampled"]

SAMPLE_EVERY = 20
"""One block in so many is distilled if post-processing is `sampled`."""

FULL_ROUND_BYTES = 2**20
"""Key per round and network up to which all of it is distilled if the caller says nothing.

Distilling takes about a second per 1.2 Mbit of key: see `benchmarks`."""

CAPACITY_BYTES = 2**24
"""Key per link at which it goes idle, unless the caller says otherwise."""


class SimulatedKeySource(StreamSource):
    """`fedket.types.PacedKeySource` over simulated links.

    Attributes:
        links: Pair -> its link, with what it has done so far.
        clock_s: Simulated time.
    """

    def __init__(
        self,
        network: FibreNetwork,
        links: Mapping[Pair, Link],
        *,
        physics_seed: int,
        post_processing: PostProcessing = "auto",
        sample_every: int = SAMPLE_EVERY,
        max_wait_s: float = inf,
        capacity_bytes: int = CAPACITY_BYTES,
        seed: int | None = None,
    ) -> None:
        """Start the links, with empty stores, at time 0.

        Args:
            network: Who shares a link; see `fedket.keys.qkd.network`.
            links: The link of every pair; see `fedket.keys.qkd.network.network_links`.
            physics_seed: Seed of the simulated physics (counters and flips), 0 or more.
            post_processing: `full` distils all key; `sampled` distils one block in `sample_every`
                and draws the others at the length they would have had; `auto` distils all and
                refuses rounds that ask for more than `FULL_ROUND_BYTES`.
            sample_every: See `post_processing`.
            max_wait_s: Longest simulated wait of one reservation.
            capacity_bytes: A link with this much key in store is idle.
            seed: For tests only: makes the key itself repeatable and worthless.

        Raises:
            ConfigError: A pair has no link, or a number is out of range.
        """
        missing = [pair for pair in network.arms_db if pair not in links]
        if missing or physics_seed < 0 or sample_every < 1 or max_wait_s < 0:
            raise ConfigError(
                f"a simulated network needs a link for every pair (missing: {missing}), seeds and "
                f"waits of 0 or more and sample_every of 1 or more; got physics_seed "
                f"{physics_seed}, max_wait_s {max_wait_s}, sample_every {sample_every}"
            )
        super().__init__(lambda stream, num_bytes: self._link(stream).take(num_bytes))
        every = sample_every if post_processing == "sampled" else 1
        settings = LinkSettings(physics_seed, every, capacity_bytes, network.relay_mux, seed)
        self.links = {pair: LinkRun(pair, links[pair], settings) for pair in network.arms_db}
        self.clock_s = self._waited_s = 0.0
        self._limited = post_processing == "auto"
        self._max_wait_s, self._capacity_bytes = max_wait_s, capacity_bytes
        self._asked = (0, 0)
        """(round, bytes reserved in it so far)."""

    def waited_s(self) -> float:
        """Return the simulated time that reservations have waited so far."""
        return self._waited_s

    def levels(self) -> dict[Pair, int]:
        """Return the key bits in store of every link."""
        return {pair: 8 * run.level for pair, run in self.links.items()}

    def problem(self) -> str:
        """Return which links have stopped, and why."""
        stopped = [(pair, run.alarm) for pair, run in self.links.items() if run.alarm is not None]
        return "; ".join(
            f"link {a}-{b} raised {alarm.name}: {alarm.value}" for (a, b), alarm in stopped
        )

    def advance(self, seconds: float) -> None:
        """Let simulated time pass, for example while clients train; links distil meanwhile."""
        self._run_until(self.clock_s + max(0.0, seconds))

    def waiting_time(self, lengths: Mapping[Stream, int]) -> KeyWait:
        """Return how long it probably takes until all these bytes are there, and the tight link."""
        waits = {p: self.links[p].seconds_until(n) for p, n in self._needs(lengths).items()}
        tight = max(waits, key=waits.__getitem__, default=None)
        return KeyWait(waits[tight], tight) if tight and waits[tight] > 0 else KeyWait(0.0, None)

    def intercept(self, pair: Pair, share: float) -> None:
        """Let an eavesdropper measure and resend a share of a link's pulses from now on.

        Raises:
            ConfigError: The share is not within 0..1.
            KeyMaterialError: There is no such link.
        """
        if not 0 <= share <= 1:
            raise ConfigError(f"an eavesdropper touches a share of 0..1 of the pulses, got {share}")
        self._link(pair).intercepted = share

    def clear_alarm(self, pair: Pair) -> None:
        """Start a link again that an alarm has stopped.

        Raises:
            KeyMaterialError: There is no such link.
        """
        self._link(pair).clear_alarm()

    def reserve(
        self, round_num: int, client_id: int, lengths: Mapping[Stream, int]
    ) -> dict[Stream, int]:
        """Set aside bytes on streams that `client_id` sends on, waiting for them if need be.

        Raises:
            LinkAlarmError: A link has stopped, a kind of `KeyExhaustedError`.
            KeyExhaustedError: The key would not be there within `max_wait_s`.
            KeyReusedError: A stream already has a reservation of this round or a later one.
            KeyMaterialError: `client_id` is not the sender, there is no such link, a length is
                negative, or the round asks for so much that `post_processing` has to be chosen.
        """
        self._check_effort(round_num, sum(lengths.values()))
        self._wait_for(self._needs(lengths))
        offsets = super().reserve(round_num, client_id, lengths)
        for stream, num_bytes in lengths.items():
            self._draw_until(stream, offsets[stream] + num_bytes)
        return offsets

    def accept(
        self, round_num: int, client_id: int, ranges: Mapping[Stream, tuple[int, int]]
    ) -> None:
        """Set aside the announced bytes on streams that `client_id` receives on.

        Raises:
            KeyReusedError: See `KeySource.accept`.
            KeyExhaustedError: A range reaches beyond what its sender has reserved.
            KeyMaterialError: See `KeySource.accept`.
        """
        for stream, (offset, num_bytes) in ranges.items():
            end = self._streams[stream].end
            if offset + num_bytes > end:
                raise KeyExhaustedError(
                    f"stream {stream[0]} -> {stream[1]} has {end} bytes, bytes up to "
                    f"{offset + num_bytes} were announced; the sender reserves first"
                )
        super().accept(round_num, client_id, ranges)

    def _link(self, stream: Stream) -> LinkRun:
        link = self.links.get(ordered(*stream))
        if link is None:
            raise KeyMaterialError(
                f"parties {stream[0]} and {stream[1]} share no link; the simulated network joins "
                f"{', '.join(f'{a}-{b}' for a, b in self.links)}"
            )
        return link

    def _needs(self, lengths: Mapping[Stream, int]) -> dict[Pair, int]:
        """Return the bytes needed per link."""
        needs: defaultdict[Pair, int] = defaultdict(int)
        for stream, num_bytes in lengths.items():
            needs[self._link(stream).pair] += num_bytes
        return dict(needs)

    def _wait_for(self, needs: Mapping[Pair, int]) -> None:
        """Advance the clock, block by block, until every link has what is needed."""
        deadline = self.clock_s + self._max_wait_s
        runs = {pair: self.links[pair] for pair in needs}
        while True:
            for run in runs.values():
                run.raise_alarm()
            short = [pair for pair, run in runs.items() if run.level < needs[pair]]
            if not short and all(run.make_ready(needs[pair]) for pair, run in runs.items()):
                return
            if not short:
                continue  # a block gave less than planned: look again
            until = min(runs[pair].next_block_s for pair in short)
            for pair in short:
                if until > deadline or runs[pair].seconds_until(needs[pair]) == inf:
                    raise self._shortage(pair, needs[pair])
            self._waited_s += until - self.clock_s
            self._run_until(until)

    def _shortage(self, pair: Pair, need: int) -> KeyExhaustedError:
        run, seconds = self.links[pair], self.links[pair].seconds_until(need)
        when = f"probably takes {seconds:.0f} s more, at most {self._max_wait_s:.0f} s are allowed"
        if seconds == inf:
            when = f"never comes: at most {self._capacity_bytes} bytes are kept"
        if run.link.planned_bits() == 0:
            when = "never comes: the link is too lossy for its block size"
        return KeyExhaustedError(
            f"the simulated link of {pair[0]} and {pair[1]} has {run.level} bytes of key, the rest "
            f"of the {need} that are needed {when}; wait longer, ask for less, or change the link"
        )

    def _run_until(self, clock_s: float) -> None:
        for run in self.links.values():
            run.run_until(clock_s)
        self.clock_s = clock_s

    def _check_effort(self, round_num: int, num_bytes: int) -> None:
        """Refuse to distil for minutes unless the caller asked for it."""
        earlier = self._asked[1] if self._asked[0] == round_num else 0
        if self._limited and earlier + num_bytes > FULL_ROUND_BYTES:
            raise KeyMaterialError(
                f"round {round_num} asks the simulated links for {earlier + num_bytes} bytes, and "
                f"distilling more than {FULL_ROUND_BYTES} per round takes long; choose "
                'post_processing "full" (all of it) or "sampled" (a part; the rest is drawn)'
            )
        self._asked = (round_num, earlier + num_bytes)
