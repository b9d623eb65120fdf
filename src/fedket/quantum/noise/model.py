"""Which channel follows which gate: a noise model is data, and two of them add up.

Noise is the same in every layer. A rule's channel acts right after each gate that it is for; rules
act in their order. Read-out errors flip measured bits, independently for each qubit.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from fedket.errors import CircuitError
from fedket.quantum.circuit import Circuit, Gate
from fedket.quantum.gates import GATES
from fedket.quantum.noise import channels
from fedket.quantum.noise.channels import Channel

ONE_QUBIT = tuple(name for name, kind in GATES.items() if kind.num_qubits == 1)
TWO_QUBIT = tuple(name for name, kind in GATES.items() if kind.num_qubits == 2)

MAX_EXACT_QUBITS = 8
"""Qubits up to which 4**n numbers per observable and layer are a laptop's work: noise is exact in
training and evaluation, unless trajectories are asked for."""

MAX_HEISENBERG_QUBITS = 10
"""Qubits up to which a caller may ask for exact values: seconds at 60 layers."""


@dataclass(frozen=True)
class Rule:
    """A channel after some gates.

    Args:
        channel: What happens. On one qubit, it happens to each qubit of the gate.
        gates: Names of gates; empty for all that have as many qubits as the channel, or more.
        qubits: The gate's qubits, in any order; a channel on two acts on them in this order. Empty
            for all.
        on: The one of the gate's qubits that a one-qubit channel acts on; None for each.

    Raises:
        CircuitError: A gate is unknown, or too small for the channel.
    """

    channel: Channel
    gates: tuple[str, ...] = ()
    qubits: tuple[int, ...] = ()
    on: int | None = None

    def __post_init__(self) -> None:
        for name in self.gates:
            if name not in GATES:
                raise CircuitError(f"unknown gate `{name}`; known are {', '.join(GATES)}")
            if GATES[name].num_qubits < self.channel.num_qubits:
                raise CircuitError(f"a channel on two qubits cannot follow {name}, which has one")
        if self.on is not None and (self.channel.num_qubits == 2 or self.on not in self.qubits):
            raise CircuitError(
                f"`on` is the one of the rule's qubits {self.qubits} that a one-qubit channel acts "
                f"on, got {self.on}"
            )

    def after(self, gate: Gate) -> Iterator[tuple[Channel, tuple[int, ...]]]:
        """What happens after a gate, and to which qubits."""
        named = gate.name in self.gates or not self.gates
        if not named or (self.qubits and set(gate.qubits) != set(self.qubits)):
            return
        if self.channel.num_qubits == 1:
            for qubit in gate.qubits:
                if self.on in (None, qubit):
                    yield self.channel, (qubit,)
        elif len(gate.qubits) == 2:
            yield self.channel, self.qubits or gate.qubits


@dataclass(frozen=True)
class NoiseModel:
    """Rules and read-out errors; hashable, so that a circuit is planned once with it.

    Args:
        rules: Channels after gates, in the order in which they act.
        readout: (P(1|0), P(0|1)) of each qubit: probabilities that a bit is read wrongly. A single
            pair is every qubit's; empty for none.
        coupled: Pairs of qubits that a gate may act on, in either order; None for all.
        trajectories: Random Pauli errors that are averaged for each sample where a circuit is too
            large for the exact method; of two models that add up, the larger number.
        exact_qubits: Qubits up to which a circuit's noise is exact, 8 at most; 0 for trajectories
            in any case. Of two models, the smaller number.

    Raises:
        CircuitError: A probability is not in 0 to 1.
    """

    rules: tuple[Rule, ...] = ()
    readout: tuple[tuple[float, float], ...] = ()
    coupled: tuple[tuple[int, int], ...] | None = None
    trajectories: int = 1
    exact_qubits: int = MAX_EXACT_QUBITS

    def __post_init__(self) -> None:
        for pair in self.readout:
            if len(pair) != 2 or not all(0 <= probability <= 1 for probability in pair):
                raise CircuitError(
                    f"a read-out error is two probabilities P(1|0), P(0|1) of 0 to 1, got {pair}"
                )
        if self.trajectories < 1:
            raise CircuitError(f"at least 1 trajectory is averaged, got {self.trajectories}")

    def __add__(self, other: "NoiseModel") -> "NoiseModel":
        """Both, one after the other; only one of them may have read-out errors."""
        if self.readout and other.readout:
            raise CircuitError("two noise models with read-out errors do not add up; keep one's")
        coupled = other.coupled if self.coupled is None else self.coupled
        return NoiseModel(
            self.rules + other.rules,
            self.readout or other.readout,
            coupled,
            max(self.trajectories, other.trajectories),
            min(self.exact_qubits, other.exact_qubits),
        )

    def times(self, strength: float) -> "NoiseModel":
        """The noise of gates that take `strength` times as long, and as many read-out errors.

        Raises:
            CircuitError: A channel has no powers, see `fedket.noise.channels.power`.
        """
        rules = tuple(replace(r, channel=channels.power(r.channel, strength)) for r in self.rules)
        readout = tuple(
            (min(strength * one, 0.5), min(strength * zero, 0.5)) for one, zero in self.readout
        )
        return replace(self, rules=rules, readout=readout)

    @property
    def is_nothing(self) -> bool:
        """Whether no gate is followed by anything, and every bit is read as it is."""
        transfers = [rule.channel.transfer for rule in self.rules]
        nothing = all((transfer == np.eye(len(transfer))).all() for transfer in transfers)
        return nothing and not any(map(any, self.readout))

    def is_exact(self, circuit: Circuit) -> bool:
        """Whether a circuit's noise is worked out exactly."""
        return circuit.num_qubits <= min(self.exact_qubits, MAX_EXACT_QUBITS)

    def after(self, gate: Gate) -> list[tuple[Channel, tuple[int, ...]]]:
        """What happens after a gate, and to which qubits, in order."""
        return [event for rule in self.rules for event in rule.after(gate)]

    def readout_of(self, qubit: int) -> tuple[float, float]:
        """Read-out error of a qubit."""
        if not self.readout:
            return 0.0, 0.0
        return self.readout[qubit if len(self.readout) > 1 else 0]

    def check(self, circuit: Circuit) -> None:
        """Refuse a circuit that this describes only in part.

        Raises:
            CircuitError: It has more qubits than there are read-out errors, or a gate on qubits
                that are not coupled.
        """
        known = len(self.readout)
        if known > 1 and known < circuit.num_qubits:
            raise CircuitError(
                f"the noise model has read-out errors of {known} qubits, the circuit has "
                f"{circuit.num_qubits} qubits; give one pair for all, or one for each"
            )
        coupled = None if self.coupled is None else set(map(frozenset, self.coupled))
        for gate in circuit.layer:
            if coupled is not None and len(gate.qubits) == 2 and set(gate.qubits) not in coupled:
                raise CircuitError(
                    f"{gate.name} on qubits {gate.qubits[0]} and {gate.qubits[1]}: the device does "
                    "not couple them; choose its qubits, or a circuit, so that it does"
                )


def after(channel: Channel, *gates: str, qubits: Sequence[int] = ()) -> NoiseModel:
    """One channel after gates of some names, or after all of them.

    Args:
        channel: From `fedket.noise.channels`.
        gates: Names such as `"CNOT"`; none for all.
        qubits: The gate's qubits; empty for all.
    """
    return NoiseModel((Rule(channel, gates, tuple(qubits)),))


def depolarising(one_qubit: float, two_qubit: float = 0.0) -> NoiseModel:
    """Depolarising noise after every gate: ρ → (1 − λ) ρ + λ I / 2**k on the gate's k qubits.

    Args:
        one_qubit: λ after gates on one qubit, of 0 to 4/3.
        two_qubit: λ after gates on two, of 0 to 16/15.
    """
    one, two = channels.depolarising(one_qubit), channels.depolarising(two_qubit, 2)
    return NoiseModel((Rule(one, ONE_QUBIT), Rule(two, TWO_QUBIT)))


def amplitude_damping(gamma: float) -> NoiseModel:
    """Decay to |0⟩ with probability `gamma` of each qubit of every gate, after it."""
    return after(channels.amplitude_damping(gamma))


def phase_damping(gamma: float) -> NoiseModel:
    """Loss of phase, `gamma` of 0 to 1, of each qubit of every gate, after it."""
    return after(channels.phase_damping(gamma))


def readout_error(p1_given_0: float, p0_given_1: float) -> NoiseModel:
    """Every qubit is read as 1 when it is 0, and as 0 when it is 1, with these probabilities."""
    return NoiseModel(readout=((p1_given_0, p0_given_1),))
