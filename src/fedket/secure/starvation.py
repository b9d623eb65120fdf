"""What a round does when there is too little key: wait, send less, or stop.

Options are tried in the order of the policy, each before anything is reserved: the first whose key
is there within the deadline is taken. If none is, the round fails closed.
"""

from collections.abc import Mapping, Sequence
from math import inf
from typing import NamedTuple

import jax

from fedket.errors import KeyExhaustedError
from fedket.secure.in_process import reduce_in_process
from fedket.secure.protocol import Answers, Protocol, everybody_answers
from fedket.secure.sides import round_cost
from fedket.secure.sparse import kept_values, random_k
from fedket.traffic import Traffic
from fedket.types import Contribution, KeyWait, PacedKeySource, Reducer, RoundContext, Stream

FRACTIONS = (1 / 2, 1 / 4, 1 / 8)
"""Parts of the coordinates that `sparsify` tries."""


class Option(NamedTuple):
    """One way to hold a round.

    Attributes:
        name: What is given up, in words; empty for the configured way.
        protocol: How the sum is formed.
        fraction: Part of each leaf's coordinates that is sent.
    """

    name: str
    protocol: Protocol
    fraction: float = 1.0


def options_of(protocol: Protocol, policy: Sequence[str], num_clients: int) -> list[Option]:
    """Return the configured way to hold a round, then those of a starvation policy.

    Each step goes on from what the steps before it have given up.

    Args:
        protocol: The configured one.
        policy: Steps: `lower_bits`, `smaller_degree`, `sparsify`.
        num_clients: Clients per round.
    """
    options, given_up = [Option("", protocol)], ""
    for step in policy:
        before = given_up and f"{given_up}, "
        if step == "sparsify":
            options += [
                Option(f"{before}1/{round(1 / part)} of the coordinates", protocol, part)
                for part in FRACTIONS
            ]
        for name, cheaper in protocol.cheaper(step, num_clients):
            given_up, protocol = before + name, cheaper
            options.append(Option(given_up, protocol))
    return options


def starving_sum(
    options: Sequence[Option],
    source: PacedKeySource,
    deadline_s: float,
    between_s: float = 0.0,
    run_id: str = "in process",
    answers: Answers = everybody_answers,
) -> Reducer:
    """Return the reducer that takes the first option whose key is there in time.

    Args:
        options: In the order of the policy, the configured way first.
        source: The keys of all parties.
        deadline_s: Longest wait for the key of a round, on the source's clock; 0 never waits.
        between_s: Time on that clock from one aggregation to the next, while clients train.
        run_id: Name of the run.
        answers: Who answers what.

    Raises (the reducer):
        KeyExhaustedError: No option has its key in time; nothing was reserved.
    """
    reducers = [_reducer(option, source, run_id, answers) for option in options]

    def reduce(contributions: Contribution, context: RoundContext) -> tuple[Contribution, Traffic]:
        source.advance(between_s)
        before = source.waited_s()
        waits: list[KeyWait] = []
        for option, reducer in zip(options, reducers, strict=True):
            waits.append(source.waiting_time(_key(option, contributions, context)))
            if waits[-1].seconds <= deadline_s:
                total, traffic = reducer(contributions, context)
                return total, traffic._replace(
                    starvation=option.name,
                    key_wait_s=source.waited_s() - before,
                    key_levels=source.levels(),
                )
        message = _shortage(options, waits, context.round_num, deadline_s)
        raise KeyExhaustedError(f"{message} {_because(source.problem())}".rstrip())

    return reduce


def _reducer(option: Option, source: PacedKeySource, run_id: str, answers: Answers) -> Reducer:
    whole = reduce_in_process(option.protocol, source, run_id, answers)
    return whole if option.fraction == 1 else random_k(whole, option.fraction)


def _key(
    option: Option, contributions: Contribution, context: RoundContext
) -> Mapping[Stream, int]:
    sizes = [leaf[0].size for leaf in jax.tree.leaves(contributions)]
    sent = sum(kept_values(size, option.fraction) for size in sizes)
    return round_cost(option.protocol, context, sent).key


def _shortage(
    options: Sequence[Option], waits: list[KeyWait], round_num: int, deadline_s: float
) -> str:
    tried = "; ".join(
        f"{option.name or 'as configured'}: {_needs(wait)}"
        for option, wait in zip(options, waits, strict=True)
    )
    return (
        f"round {round_num} has too little key within {deadline_s:g} s ({tried}); nothing was "
        "reserved; allow a longer wait (keys.deadline_s), ask for less key, or add to "
        "keys.starvation"
    )


def _because(problem: str) -> str:
    return f"({problem})" if problem else ""


def _needs(wait: KeyWait) -> str:
    link = f"link {wait.link[0]}-{wait.link[1]}" if wait.link else "a link"
    if wait.seconds == inf:
        return f"{link} gives no key"
    return f"{link} needs {wait.seconds:.0f} s"
