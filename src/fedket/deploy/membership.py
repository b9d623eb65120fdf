"""Who takes part: our own membership, with short deadlines, over any transport.

A transport that does not notice a dead site would make the server wait for its whole deadline.
So every site is asked for a heartbeat every `heartbeat_s`: one that sends none for `silent_s` is
away, and one whose process is another one than before has forgotten its round; neither is waited
for any longer. A site that comes back completes a handshake, gets its session and
is in the next round.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from threading import Event

from fedket.deploy.broadcast import PATIENCE_S, POLL_S, Broadcaster, Call, Timeouts
from fedket.deploy.handshake import (
    Handshake,
    SessionTerms,
    common_shape,
    misshape_of,
    number_in,
    shape_in,
)
from fedket.deploy.heartbeat import HeartbeatMonitor
from fedket.deploy.keyless import Keyless, LinkFault, LinksWithoutKeyError, heard
from fedket.deploy.members import Member, MemberTable
from fedket.deploy.own_time import OwnTime
from fedket.deploy.party_keys import PartyKeys
from fedket.errors import FedketError, ProtocolError
from fedket.secure.phases import Failure, Outcomes, Payload, Phase, Reply
from fedket.types import SERVER


class Membership:
    """`fedket.deploy.rounds.Members` over calls to sites.

    Args:
        names: Names of the sites, in order.
        experiment: Fingerprint of the experiment that every site must have.
        call: Transport.
        timeouts: How long to wait.
        training: Actions that take training.
        least: Sites without which no round begins.
        say: Where news of sites go; called from several threads.
        first: The same for the first round, if more: sites that come early must not be alone.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        experiment: str,
        call: Call,
        timeouts: Timeouts,
        training: frozenset[str],
        least: int,
        say: Callable[[str], None],
        first: int = 0,
    ) -> None:
        self._names, self._timeouts, self._least, self._say = names, timeouts, least, say
        self._needed = max(first, least)
        self._keys: PartyKeys | None = None
        self._keyless = Keyless()
        self._shape: tuple[int, ...] = ()
        closed = Event()
        self._table = MemberTable(names, timeouts.silent_s, OwnTime(closed))
        self._broadcaster = Broadcaster(names, self._table, call, timeouts, training, closed, say)
        self._heartbeat = HeartbeatMonitor(
            names, experiment, self._table, self._broadcaster, timeouts, say
        )

    def close(self) -> None:
        """Stop asking for heartbeats; whoever still answers is not heard."""
        self._heartbeat.close()

    def meet(self, expected: Collection[int]) -> dict[int, Handshake]:
        """Wait for the handshakes of sites, `join_s` at most; return what they said.

        Args:
            expected: Sites that the transport can reach; the others only where too few came.

        Raises:
            ProtocolError: Too few came, naming the others.
        """
        self._wait_until(
            lambda: self._table.known() >= set(expected) and self._are_enough(),
            lambda: not self._are_enough() and self._needed <= len(self._table.coming()),
        )
        here = {i: member.handshake for i, member in self._fitting().items()}
        if len(here) < self._needed:
            raise ProtocolError(
                f"{len(here)} of {len(self._names)} sites came, {self._needed} are needed; "
                f"{self._who_is_missing(here)}"
            )
        return here

    def refuse(self, i: int, problem: str) -> None:
        """Keep a site that was met out, and say why."""
        self._heartbeat.refuse(i, self._table.accepted()[i].instance, problem)

    def open(self, name: str, classes: int, keys: PartyKeys) -> None:
        """Begin a session: from now on sites that come get in.

        Args:
            name: Of the session.
            classes: Classes of all sites that were met.
            keys: The server's ends of its links.
        """
        here = self._table.accepted()
        samples = {i: number_in(member.handshake, "samples") for i, member in here.items()}
        largest = max(samples.values(), default=1)
        self._keys = keys
        self._heartbeat.begin(SessionTerms(name, classes, largest, self._shape, samples))
        self._wait_until(lambda: not self._table.preparing())

    def gather(self, needed: int = 0) -> dict[int, int]:
        """Let in who is ready; return the samples of every site that takes part.

        Args:
            needed: How many sites to wait for, if more than a round needs by itself.

        Raises:
            ProtocolError: Too few are there, even after `join_s`, and too few are on their way.
        """
        needed = max(self._needed, needed)
        self._wait_until(
            lambda: len(self._admit()) >= needed,
            lambda: len(self._table.members()) + len(self._table.coming()) >= needed,
        )
        members = self._table.members()
        if len(members) < needed:
            raise ProtocolError(
                f"{len(members)} of {len(self._names)} sites are there, {needed} are needed; "
                f"{self._who_is_missing(members)}; start them and resume"
            )
        self._needed = self._least
        return {i: number_in(member.handshake, "samples") for i, member in members.items()}

    def absent(self) -> dict[int, str]:
        """Who is away, and why."""
        return self._table.absent()

    def tell(self, left_out: Mapping[int, str]) -> None:
        """Let sites know that they were left out of a round, and why."""
        self._table.tell(left_out)

    def execute(self, phase: Phase) -> Outcomes:
        """Ask sites at the same time; a site that is away is not waited for."""
        outcomes = self._broadcaster.ask(phase, _processes(self._table.admitted()))
        failed = {i: o.reason for i, o in outcomes.items() if isinstance(o, Failure)}
        for reason, sites in self._by_reason(failed).items():
            self._say(f"`{phase.action}` failed at {', '.join(sites)}: {reason}")
        return outcomes

    def _fitting(self) -> dict[int, Member]:
        """Those who came, without the few whose samples have another shape than most."""
        here = self._table.accepted()
        self._shape = common_shape(member.handshake for member in here.values())
        for i, member in here.items():
            if problem := misshape_of(member.handshake, self._shape):
                self._heartbeat.refuse(i, member.instance, problem)
        return {
            i: member for i, member in here.items() if shape_in(member.handshake) == self._shape
        }

    def _admit(self) -> Mapping[int, Member]:
        """Bring newcomers' links in line with everybody; then they are members."""
        resting = self._keyless.resting()
        new = {i: member for i, member in self._table.newcomers().items() if i not in resting}
        old = self._table.members()
        if not new or self._keys is None:
            return old
        each: dict[int, Payload] = {i: {"peers": sorted({*new, *old} - {i})} for i in new}
        each |= {i: {"peers": sorted(new)} for i in old}
        outcomes = self._broadcaster.ask(
            Phase("links", tuple(each), {}, 0.0, each), _processes({**old, **new})
        )
        failed = {i: o.reason for i, o in outcomes.items() if isinstance(o, Failure)}
        told = [f for i, o in outcomes.items() if isinstance(o, Reply) for f in heard(i, o.payload)]
        told += [f for i in new if i not in failed for f in self._own_link(self._keys, i)]
        parties = {*new, *old, SERVER} - failed.keys()
        judged = self._keyless.judge([f for f in told if {f.teller, f.peer} <= parties])
        if SERVER in judged:
            failed |= dict.fromkeys(new, f"the server gets no key: {judged.pop(SERVER)}")
        # A link that a member could not bring in line is out of line at its newcomer's end too.
        in_the_way = [failed[i] for i in self._table.members() if i in failed][:1]
        failed |= judged | {i: why for i in new if i not in failed for why in in_the_way}
        for i, member in new.items():
            if i not in failed:
                self._keyless.has_key((i,))
                self._table.note(i, member.instance, admitted=True, stuck=False)
                continue
            why = f"has unmatched key links: {failed[i]}"
            if self._table.note(i, member.instance, why=why, stuck=True):
                self._say(f"site {self._names[i]} {why}")
        return self._table.members()

    def _own_link(self, keys: PartyKeys, i: int) -> Sequence[LinkFault]:
        """Bring the server's own link with a site in line; returns why it cannot."""
        try:
            keys.links([i])
        except LinksWithoutKeyError as error:
            return error.faults
        except Exception as error:  # what a site says of its link ends nobody else's run
            why = f"{error}" if isinstance(error, FedketError) else type(error).__name__
            return [LinkFault(SERVER, i, True, why)]
        return ()

    def _are_enough(self) -> bool:
        return len(self._table.accepted()) >= self._needed

    def _who_is_missing(self, here: Collection[int]) -> str:
        missing = {i: why for i, why in self.absent().items() if i not in here}
        told = [
            f"site {sites[0]} {why}" if len(sites) == 1 else f"sites {', '.join(sites)}: {why}"
            for why, sites in self._by_reason(missing).items()
        ]
        return "; ".join(told) or "nobody is away"

    def _by_reason(self, reasons: Mapping[int, str]) -> dict[str, list[str]]:
        """Reason, without the name of a site -> all sites that have it."""
        found: dict[str, list[str]] = {}
        for i, why in reasons.items():
            name = self._names[i]
            bare = why.removeprefix(f"{name}: ").removeprefix(f"site {name} ")
            found.setdefault(bare, []).append(name)
        return found

    def _wait_until(
        self, test: Callable[[], bool], hopeful: Callable[[], bool] = lambda: False
    ) -> None:
        """Wait `join_s`, or as long as a site may compile while it is `hopeful` to."""
        begun, said = time.monotonic(), False
        while True:
            most = self._timeouts.training_s if hopeful() else self._timeouts.join_s
            if test() or (waited := time.monotonic() - begun) >= most:
                return
            if waited > PATIENCE_S and not said:
                said = True
                missing = self._who_is_missing(self._table.members())
                self._say(f"waiting for sites, {most:g} s at most: {missing}")
            time.sleep(POLL_S / 4)


def _processes(members: Mapping[int, Member]) -> dict[int, str]:
    return {i: member.instance for i, member in members.items()}
