"""Who is there: our own membership, with short deadlines, over any transport.

A transport that does not notice a dead site would make the server wait for its whole deadline.
So every site is asked for a sign of life every `ping_s`: one that gives none for `silent_s` is
away, and one whose process is another one than before has forgotten its round; neither is waited
for any longer. A site that comes back says hello, gets its session and is in the next round.
"""

import time
from collections.abc import Callable, Collection, Mapping

from fedket.deploy.asking import POLL_S, Asker, Call, Waits
from fedket.deploy.hello import Hello, Session, common_shape, misshape_of, number_in, shape_in
from fedket.deploy.party_keys import PartyKeys
from fedket.deploy.roll import Roll, Seat
from fedket.deploy.watch import Watch
from fedket.errors import FedketError, ProtocolError
from fedket.secure.phases import Failure, Outcomes, Payload, Phase


class SiteCrew:
    """`fedket.deploy.rounds.Crew` over calls to sites.

    Args:
        names: Names of the sites, in order.
        experiment: Fingerprint of the experiment that every site must have.
        call: Transport.
        waits: How long to wait.
        training: Actions that take training.
        least: Sites without which no round begins.
        say: Where news of sites go; called from several threads.
    """

    def __init__(
        self,
        names: tuple[str, ...],
        experiment: str,
        call: Call,
        waits: Waits,
        training: frozenset[str],
        least: int,
        say: Callable[[str], None],
    ) -> None:
        self._names, self._waits, self._least, self._say = names, waits, least, say
        self._keys: PartyKeys | None = None
        self._shape: tuple[int, ...] = ()
        self._roll = Roll(names, waits.silent_s)
        self._asker = Asker(names, self._roll, call, waits, training)
        self._watch = Watch(names, experiment, self._roll, call, self._asker, waits, say)

    def close(self) -> None:
        """Stop watching; whoever still answers is not heard."""
        self._watch.close()

    def meet(self, expected: Collection[int]) -> dict[int, Hello]:
        """Wait for sites to say hello, `join_s` at most; return what they said.

        Args:
            expected: Sites that the transport can reach; the others are not waited for.

        Raises:
            ProtocolError: Too few came, naming the others.
        """
        self._wait_until(lambda: self._roll.known() >= set(expected))
        here = {i: seat.hello for i, seat in self._fitting().items()}
        if len(here) < self._least:
            raise ProtocolError(
                f"{len(here)} of {len(self._names)} sites came, {self._least} are needed; "
                f"{self._who_is_missing(here)}"
            )
        return here

    def open(self, name: str, classes: int, keys: PartyKeys) -> None:
        """Begin a session: from now on sites that come get in.

        Args:
            name: Of the session.
            classes: Classes of all sites that were met.
            keys: The server's ends of its links.
        """
        samples = [number_in(seat.hello, "samples") for seat in self._roll.greeted().values()]
        self._keys = keys
        self._watch.open(Session(name, classes, max(samples, default=1), self._shape))
        self._wait_until(lambda: not self._roll.preparing())

    def gather(self) -> dict[int, int]:
        """Let in who is ready; return the samples of every site that takes part.

        Raises:
            ProtocolError: Too few are there, even after `join_s`.
        """
        self._wait_until(lambda: len(self._admit()) >= self._least)
        members = self._roll.members()
        if len(members) < self._least:
            raise ProtocolError(
                f"{len(members)} of {len(self._names)} sites are there, {self._least} are needed; "
                f"{self._who_is_missing(members)}; start them and resume"
            )
        return {i: number_in(seat.hello, "samples") for i, seat in members.items()}

    def absent(self) -> dict[int, str]:
        """Who is away, and why."""
        return self._roll.absent()

    def execute(self, phase: Phase) -> Outcomes:
        """Ask sites at the same time; a site that is away is not waited for."""
        outcomes = self._asker.ask(phase, _processes(self._roll.admitted()))
        for outcome in outcomes.values():
            if isinstance(outcome, Failure):
                self._say(f"`{phase.action}` failed: {outcome.reason}")
        return outcomes

    def _fitting(self) -> dict[int, Seat]:
        """Those who came, without the few whose samples have another shape than most."""
        here = self._roll.greeted()
        self._shape = common_shape(seat.hello for seat in here.values())
        for i, seat in here.items():
            if problem := misshape_of(seat.hello, self._shape):
                self._watch.refuse(i, seat.instance, problem)
        return {i: seat for i, seat in here.items() if shape_in(seat.hello) == self._shape}

    def _admit(self) -> Mapping[int, Seat]:
        """Bring newcomers' links in line with everybody; then they are members."""
        new, old = self._roll.newcomers(), self._roll.members()
        if not new or self._keys is None:
            return old
        each: dict[int, Payload] = {i: {"peers": sorted({*new, *old} - {i})} for i in new}
        each |= {i: {"peers": sorted(new)} for i in old}
        outcomes = self._asker.ask(
            Phase("links", tuple(each), {}, 0.0, each), _processes({**old, **new})
        )
        failed = {i: o.reason for i, o in outcomes.items() if isinstance(o, Failure)}
        # A link that a member could not bring in line is out of line at its newcomer's end too.
        in_the_way = [failed[i] for i in self._roll.members() if i in failed]
        for i, seat in new.items():
            reasons = [failed[i]] if i in failed else in_the_way
            problem = reasons[0] if reasons else self._own_link(self._keys, i)
            if not problem:
                self._roll.note(i, seat.instance, member=True)
            elif self._roll.note(i, seat.instance, why=f"has links out of line: {problem}"):
                self._say(f"site {self._names[i]} has links out of line: {problem}")
        return self._roll.members()

    def _own_link(self, keys: PartyKeys, i: int) -> str:
        """Bring the server's own link with a site in line; returns why it cannot."""
        try:
            keys.links([i])
        except FedketError as error:
            return str(error)
        return ""

    def _who_is_missing(self, here: Collection[int]) -> str:
        missing = [why for i, why in self.absent().items() if i not in here]
        return "; ".join(missing) or "nobody is away"

    def _wait_until(self, test: Callable[[], bool]) -> None:
        end = time.monotonic() + self._waits.join_s
        while not test() and time.monotonic() < end:
            time.sleep(POLL_S / 4)


def _processes(seats: Mapping[int, Seat]) -> dict[int, str]:
    return {i: seat.instance for i, seat in seats.items()}
