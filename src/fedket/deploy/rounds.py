"""The engine whose clients are sites that the server only reaches by messages.

Who takes part, whose key is there, and the protocol carried to them; the round itself is that of
`fedket.federated.federation`, as in a simulation.
"""

import math
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np

from fedket.deploy.identity.members import MOST_SITES
from fedket.deploy.keyless import Keyless, LinksWithoutKeyError, heard
from fedket.deploy.party_keys import PartyKeys
from fedket.deploy.patience import RETRY_S, fill_patiently
from fedket.deploy.site_trainer import pack_broadcast, read_metrics
from fedket.deploy.spoilers import Spoilers
from fedket.deploy.statistics_task import Summed
from fedket.errors import ProtocolError, RoundLostError
from fedket.federated.program import Program
from fedket.federated.trainer import Attendance, CohortOutcome, Engine, as_numbers, server_step
from fedket.keys.etsi014.errors import KmeError
from fedket.secure import Party, round_cost, server_side
from fedket.secure.differencing_guard import OpenedSums
from fedket.secure.phases import Failure, Outcomes, Payload, Phase, Reply, drive
from fedket.secure.shares import within_share
from fedket.traffic import Traffic
from fedket.types import (
    SERVER,
    Contribution,
    Params,
    RoundContext,
    ServerState,
    Stream,
)


@runtime_checkable
class Members(Protocol):
    """The sites of a session, as the server sees them."""

    def gather(self, needed: int = 0) -> Mapping[int, int]:
        """Let in who waits outside; return the samples of every site that is there.

        Args:
            needed: How many sites to wait for, if more than a round needs by itself.
        """
        ...

    def absent(self) -> Mapping[int, str]:
        """Return who is away, and why."""
        ...

    def tell(self, left_out: Mapping[int, str]) -> None:
        """Let sites know that they were left out of a round, and why."""
        ...

    def execute(self, phase: Phase) -> Outcomes:
        """Carry a request to sites and return what they answered, before its deadline."""
        ...


class Stock(NamedTuple):
    """Key that the sites of a round have in store, by what they said.

    Attributes:
        of_round: Bytes that a round takes of each stream.
        rounds: For how many rounds like that it is there.
    """

    of_round: Mapping[Stream, int]
    rounds: int


NOTHING = Stock({}, 0)


class SiteRounds:
    """The engine whose clients are sites: the protocol reaches them by messages.

    Args:
        task: What is trained, or counted.
        members: Those that are there.
        keys: The server's ends of its links.
        session: Name of this start of the run, another for every start.
        deadline: Seconds for each phase, unless `members` knows better.
        opened: See `fedket.secure.server_side`.
        say: Where news go.
        seats: Numbers of the sites that take part, in order; None: those from 0.
        first: Share of a cohort that must be in the session's first sum: who comes early is not
            to be alone.
    """

    def __init__(
        self,
        task: Summed,
        members: Members,
        keys: PartyKeys,
        session: str,
        deadline: float = 60.0,
        opened: OpenedSums | None = None,
        say: Callable[[str], None] = lambda _: None,
        seats: Sequence[int] | None = None,
        first: float = 0.0,
    ) -> None:
        self._task, self._members = task, members
        self._first, self._drawn = first, 0
        self._seats = np.array(seats or range(task.config.num_clients), np.int32)
        self._keys, self._source, self._session = keys, keys.source(session), session
        self._deadline, self._opened, self._say = deadline, opened, say
        self._apply = Program(server_step, task.strategy)
        self._samples: Mapping[int, int] = {}
        self._spoilers, self._keyless = Spoilers(), Keyless()
        self._graph_seed, self._stock = b"", NOTHING
        self._left_out: dict[int, str] = {}

    def engine(self) -> Engine:
        """Return the engine."""
        memory = self._task.strategy.memory is not None
        remembered = jnp.zeros(MOST_SITES, jnp.int32) if memory else ()
        return Engine(self._run, self.attend, remembered)

    def attend(self, drawn: np.ndarray, round_num: int) -> Attendance:
        """Return the sites at the drawn places that are there and have key, and why others are not.

        Raises:
            ProtocolError: Too few are there, or have key; the run ends until there are more.
        """
        needed = math.ceil(self._first * len(self._seats))  # 0 once a sum was opened
        drawn, self._samples = self._seats[drawn], self._members.gather(needed)
        self._drawn = len(drawn)
        absent = dict(self._members.absent())
        least = self._task.protocol.least
        for resting in (self._keyless.resting(), self._spoilers.resting(round_num)):
            rested = set(drawn.tolist()) & set(self._samples) - set(absent) - set(resting)
            if len(rested) >= least:
                absent |= resting
        here = tuple(i for i in drawn.tolist() if i in self._samples and i not in absent)
        # A site may come back between the two answers; it is named all the same.
        away = {i: absent.get(i, f"site {i} came back") for i in drawn.tolist() if i not in here}
        if len(here) < least:
            raise ProtocolError(
                f"round {round_num}: {len(here)} of {len(drawn)} sites are there; {least} must be "
                "in a sum, start the others and resume"
            )
        cohort, short = self._fill(round_num, here)
        self._left_out = away | short
        return Attendance(np.array(cohort, np.int32), self._left_out)

    def _run(
        self,
        params: Params,
        server: ServerState,
        clients: Any,
        cohort: np.ndarray,
        round_num: int,
    ) -> CohortOutcome:
        """Let sites train and add up what they contribute; their optimisers stay with them.

        Of their memories `clients` holds the last round, by site, whose sum had its update.

        Raises:
            ProtocolError: The round is lost.
        """
        ids = tuple(cohort.tolist())
        context = self.context_of(round_num, ids)
        try:
            sent = pack_broadcast(self._task.strategy.broadcast(server, params))
            (total, measured), traffic = self.total_of(sent, context, clients)
        except RoundLostError as error:
            self._members.tell(self._left_out | dict(error.reasons))
            self._spoilers.blame(error.reasons, round_num)
            self._stock = NOTHING
            raise
        if traffic.missing:
            self._stock = NOTHING
        self._members.tell(self._left_out | dict(traffic.missing))
        server, params, metrics = self._apply(server, params, total)
        if not isinstance(clients, tuple):
            counted = np.array([i for i in ids if i not in traffic.missing])
            clients = clients.at[counted].set(round_num)
        of_sites = read_metrics(self._task, measured)
        means = {name: _over_members(sent, context, traffic) for name, sent in of_sites.items()}
        reported = as_numbers(metrics)
        if "accuracy" in means:
            reported["site_accuracy"] = means["accuracy"]
        return CohortOutcome(params, server, clients, means.get("loss"), {}, traffic, reported)

    def _fill(
        self, round_num: int, here: tuple[int, ...]
    ) -> tuple[tuple[int, ...], dict[int, str]]:
        """Have the round's key in store; who cannot is left out, unless too few would be left.

        Without them the graph is another one, and where it has other edges, all are asked again.

        Raises:
            ProtocolError: Too few have key, until the deadline, or can be summed.
        """
        deadline, least = self._task.config.keys.deadline_s, self._task.protocol.least
        end = time.monotonic() + deadline
        cohort, out = self._within_share(round_num, here)
        while True:
            filled = self._key_of(round_num, cohort, secrets.token_bytes(32))
            if self._stock.rounds > 1 and self._stock.of_round == filled:
                self._stock = self._stock._replace(rounds=self._stock.rounds - 1)
                return cohort, out
            ready, short, again = self._ask_for_key(round_num, cohort, filled, end)
            if len(ready) >= least:
                ready, large = self._within_share(round_num, ready)
                out |= short | large
                needed = self._key_of(round_num, ready, self._graph_seed)
                enough = all(filled.get(s, 0) >= num_bytes for s, num_bytes in needed.items())
                if enough and not again:
                    self._keyless.has_key(ready)
                    return ready, out
                cohort = ready
                continue
            first = next(iter(short.values()), "nobody is there")
            if time.monotonic() + RETRY_S > end:
                raise ProtocolError(
                    f"round {round_num}: {len(ready)} of {len(cohort)} sites have key, "
                    f"{least} must; the first that has none: {first}; resume when it has"
                )
            self._say(f"round {round_num} waits for key, {deadline:g} s at most: {first}")
            time.sleep(RETRY_S)
            self._samples = {**self._samples, **self._members.gather()}  # lets in who was restarted

    def _within_share(
        self, round_num: int, cohort: tuple[int, ...]
    ) -> tuple[tuple[int, ...], dict[int, str]]:
        """Leave out who has too large a share of the samples.

        Raises:
            ProtocolError: Too few are left.
        """
        protocol, samples = self._task.protocol, {i: self._samples[i] for i in cohort}
        kept, large = within_share(protocol.max_share, samples)
        if large and len(kept) < protocol.least:
            raise ProtocolError(
                f"round {round_num}: {len(kept)} sites are left, {protocol.least} are needed; "
                f"{'; '.join(large.values())}"
            )
        return tuple(kept), large

    def _key_of(
        self, round_num: int, cohort: tuple[int, ...], graph_seed: bytes
    ) -> Mapping[Stream, int]:
        """Bytes that a round takes of each stream, for a graph drawn now that the cohort is."""
        self._graph_seed = graph_seed
        context = self._task.round(round_num, cohort, self._samples, graph_seed)
        return round_cost(self._task.protocol, context, self._task.num_values).key

    def _ask_for_key(
        self, round_num: int, cohort: tuple[int, ...], lengths: Mapping[Stream, int], end: float
    ) -> tuple[tuple[int, ...], dict[int, str], bool]:
        """Let everybody fill its streams, until the end of the round's patience.

        Returns:
            Who has key; why others have not; whether to ask again, since who is told of a faulty
            link did not wait for the others.
        """
        deadline = max(0.0, end - time.monotonic())
        patience = {"patience_s": int(deadline)}
        request: Payload = {"round_num": round_num, **self._about(cohort), **patience}
        outcomes = self._members.execute(Phase("fill", cohort, request, deadline))
        short = {i: o.reason for i, o in outcomes.items() if isinstance(o, Failure)}
        said = (o.payload.get("rounds") for o in outcomes.values() if isinstance(o, Reply))
        rounds = [n if isinstance(n, int) else 1 for n in said]
        told = [f for i, o in outcomes.items() if isinstance(o, Reply) for f in heard(i, o.payload)]
        own = {s: n for s, n in lengths.items() if s[0] == SERVER and s[1] not in short}
        try:
            left = max(0.0, end - time.monotonic())
            rounds.append(fill_patiently(partial(self._keys.fill, own), left, self._say))
        except LinksWithoutKeyError as error:
            told += error.faults
        except KmeError as error:
            short = dict.fromkeys(cohort, f"the server gets no key: {error}") | short
        parties = {*cohort, SERVER} - set(short)
        judged = self._keyless.judge([f for f in told if {f.teller, f.peer} <= parties])
        if SERVER in judged:
            why = f"the server gets no key: {judged.pop(SERVER)}"
            short |= dict.fromkeys((i for i in cohort if i not in judged), why)
        short |= judged
        self._stock = NOTHING if short else Stock(lengths, min(rounds, default=0))
        return tuple(i for i in cohort if i not in short), short, bool(told)

    def context_of(self, round_num: int, ids: tuple[int, ...]) -> RoundContext:
        """Return what everybody knows of a round, for those that `attend` let in."""
        return self._task.round(round_num, ids, self._samples, self._graph_seed)

    def total_of(
        self, model: bytes, context: RoundContext, clients: Any = ()
    ) -> tuple[Contribution, Traffic]:
        """Return the sum of what sites contribute to a round.

        Args:
            model: What the round begins with.
            context: From `context_of`.
            clients: The last round, by site, whose sum had its update; () where none remembers any.

        Raises:
            RoundLostError: There is no sum.
        """
        task, party = self._task, Party(self._session, self._source)
        least = max(task.protocol.least, math.ceil(self._first * self._drawn))
        opening: dict[str, Any] = {"model": model, **self._about(context.client_ids)}
        if not isinstance(clients, tuple):
            opening["remembered"] = [int(clients[i]) for i in context.client_ids]
        server = server_side(
            task.protocol._replace(least=least),
            context,
            task.template,
            party,
            opening,
            self._deadline,
            self._opened,
        )
        found = drive(server, self._members.execute)
        self._first = 0.0
        return found

    def _about(self, cohort: tuple[int, ...]) -> dict[str, list[int] | bytes]:
        """What sites must know of a round."""
        counts = [self._samples[i] for i in cohort]
        return {"cohort": list(cohort), "samples": counts, "graph_seed": self._graph_seed}


def _over_members(value: float, context: RoundContext, traffic: Traffic) -> float:
    """A sum over the sites in it, as their weighted mean."""
    weights = zip(context.client_ids, context.weights, strict=True)
    return value / sum(weight for i, weight in weights if i not in traffic.missing)
