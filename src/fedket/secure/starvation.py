"""What a round does when there is too little key: wait, send less, or stop.

Options are tried in the order of the policy, each before anything is reserved: the first whose key
is there within the deadline is taken. If none is, the round fails closed.
"""

from collections.abc import Callable, Sequence
from math import inf
from typing import NamedTuple

import jax

from fedket.errors import KeyExhaustedError
from fedket.secure.demand import Demand
from fedket.types import (
    Contribution,
    KeyWait,
    PacedKeySource,
    Reducer,
    RoundContext,
    Stream,
    Traffic,
)


class Option(NamedTuple):
    """One way to hold a round.

    Attributes:
        name: What is given up, in words; empty for the configured way.
        reduce: How contributions become a sum.
        demand: The key that takes.
        sent: Values of a leaf -> how many of them are sent.
    """

    name: str
    reduce: Reducer
    demand: Demand
    sent: Callable[[int], int] = int


def starving_sum(
    options: Sequence[Option], source: PacedKeySource, deadline_s: float, between_s: float = 0.0
) -> Reducer:
    """Return the reducer that takes the first option whose key is there in time.

    Args:
        options: In the order of the policy, the configured way first.
        source: The keys.
        deadline_s: Longest wait for the key of a round, on the source's clock; 0 never waits.
        between_s: Time on that clock from one aggregation to the next, while clients train.

    Raises (the reducer):
        KeyExhaustedError: No option has its key in time; nothing was reserved.
    """

    def reduce(contributions: Contribution, context: RoundContext) -> tuple[Contribution, Traffic]:
        source.advance(between_s)
        before = source.waited_s()
        waits: list[KeyWait] = []
        for option in options:
            waits.append(source.waiting_time(_demand(option, contributions, context)))
            if waits[-1].seconds <= deadline_s:
                total, traffic = option.reduce(contributions, context)
                return total, traffic._replace(
                    starvation=option.name,
                    key_wait_s=source.waited_s() - before,
                    key_levels=source.levels(),
                )
        message = _shortage(options, waits, context.round_num, deadline_s)
        raise KeyExhaustedError(f"{message} {_because(source.problem())}".rstrip())

    return reduce


def _demand(
    option: Option, contributions: Contribution, context: RoundContext
) -> dict[Stream, int]:
    sizes = [leaf[0].size for leaf in jax.tree.leaves(contributions)]
    return option.demand(context, sum(map(option.sent, sizes)))


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
