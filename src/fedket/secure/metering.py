"""What each phase of a protocol costs, on any engine: bytes, key bits, seconds.

Bytes are those of the payload's values: a bytes field counts its length, an int and each entry of
a list of ints 8, a string its UTF-8 length. Field names and the engine's framing are not counted.
"""

from collections.abc import Callable
from time import perf_counter

from fedket.errors import RoundLostError
from fedket.secure.phases import Outcomes, Payload, Phase, Reply, Result, Server, mapped
from fedket.traffic import PhaseCost


def metered(
    server: Server[Result], clock: Callable[[], float] = perf_counter
) -> Server[tuple[Result, tuple[PhaseCost, ...]]]:
    """Return the same protocol that also returns its costs by action, in order of appearance.

    Args:
        server: A server generator.
        clock: What time is taken on.

    Raises:
        RoundLostError: As the protocol does, with the costs until then.
    """
    costs: dict[str, PhaseCost] = {}
    since = 0.0
    latest: PhaseCost | None = None

    def settle() -> None:
        """Close the account of the latest phase: its answers have been processed."""
        nonlocal latest
        if latest is not None:
            cost = latest._replace(seconds=clock() - since)
            costs[cost.name] = _add(costs.get(cost.name), cost)
            latest = None

    def begin(phase: Phase) -> Phase:
        nonlocal since
        settle()
        since = clock()
        return phase

    def count(phase: Phase, outcomes: Outcomes) -> Outcomes:
        nonlocal latest
        latest = _cost(phase, outcomes)
        return outcomes

    try:
        result = yield from mapped(server, begin, count)
    except RoundLostError as error:
        settle()
        error.phases = tuple(costs.values())
        raise
    settle()
    return result, tuple(costs.values())


def payload_bytes(payload: Payload) -> int:
    """Return the bytes of a payload's values."""
    return sum(map(_value_bytes, payload.values()))


def _value_bytes(value: bytes | int | str | list[int]) -> int:
    if isinstance(value, int):
        return 8
    if isinstance(value, list):
        return 8 * len(value)
    return len(value.encode() if isinstance(value, str) else value)


def _cost(phase: Phase, outcomes: Outcomes) -> PhaseCost:
    answers = [outcome.payload for outcome in outcomes.values() if isinstance(outcome, Reply)]
    down = len(phase.to) * payload_bytes(phase.payload)
    down += sum(payload_bytes(phase.each[i]) for i in phase.to if i in phase.each)
    up = sum(map(payload_bytes, answers))
    return PhaseCost(phase.action, up, down, phase.pad_bits, phase.mac_bits, 0.0)


def _add(old: PhaseCost | None, new: PhaseCost) -> PhaseCost:
    if old is None:
        return new
    return PhaseCost(
        new.name,
        old.upload_bytes + new.upload_bytes,
        old.download_bytes + new.download_bytes,
        old.pad_bits + new.pad_bits,
        old.mac_bits + new.mac_bits,
        old.seconds + new.seconds,
    )
