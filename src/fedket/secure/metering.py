"""What each phase of a protocol costs, on any engine: bytes, key bits, seconds.

Bytes are those of the payload's values: a bytes field counts its length, an int and each entry of
a list of ints 8, a string its UTF-8 length. Field names and the engine's framing are not counted.
"""

from time import perf_counter

from fedket.secure.phases import Outcomes, Payload, Phase, Reply, Result, Server
from fedket.types import PhaseCost


def metered(server: Server[Result]) -> Server[tuple[Result, tuple[PhaseCost, ...]]]:
    """Return the same protocol that also returns its costs by action, in order of appearance."""
    costs: dict[str, PhaseCost] = {}
    try:
        phase = next(server)
        while True:
            start = perf_counter()
            outcomes = yield phase
            try:
                following = server.send(outcomes)
            finally:
                cost = _cost(phase, outcomes, perf_counter() - start)
                costs[phase.action] = _add(costs.get(phase.action), cost)
            phase = following
    except StopIteration as end:
        result: Result = end.value
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


def _cost(phase: Phase, outcomes: Outcomes, seconds: float) -> PhaseCost:
    answers = [outcome.payload for outcome in outcomes.values() if isinstance(outcome, Reply)]
    down = len(phase.to) * payload_bytes(phase.payload)
    down += sum(payload_bytes(phase.each[i]) for i in phase.to if i in phase.each)
    up = sum(map(payload_bytes, answers))
    return PhaseCost(phase.action, up, down, phase.pad_bits, phase.mac_bits, seconds)


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
