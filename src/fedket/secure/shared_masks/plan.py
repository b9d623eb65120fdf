"""Protocol B: what all parties of a round go by, and the key that it takes.

n clients of a cohort, d values of q bits each, T colluders, U answers open. Sums are taken modulo
the smallest prime p > n(2^q - 1), in w = bits(p) bits per value. A mask is cut into U - T blocks
of L = ceil(d / (U - T)) residues; a share is L residues too.

No overflow: values lie within +-(2^(q-1) - 1), so a sum of n or fewer of them lies within
+-n(2^(q-1) - 1), whose double is below p: the sum is the residue nearest zero.
"""

from typing import NamedTuple

from fedket.errors import ConfigError, ProtocolError
from fedket.secure.mac import MAC_KEY_BITS, MAC_KEY_BYTES, encode
from fedket.secure.phases import Payload
from fedket.secure.shared_masks.field import field_above
from fedket.secure.shared_masks.sharing import Sharing
from fedket.secure.words import packed_size


class Plan(NamedTuple):
    """What is agreed for a whole run, before the server has a say.

    Attributes:
        run_id: Name of the run, another for every run.
        num_values: Values per update (d).
        bits: Bits per value (q): integers within +-(2^(q-1) - 1); 2..32.
        colluders: Clients that may join the server or each other without learning more (T).
        threshold: Clients that must be alive until the sum opens (U); U - T >= 2.
        malicious: Whether the clients also hold out against a server that lies; U > (n + T)/2.
    """

    run_id: str
    num_values: int
    bits: int
    colluders: int
    threshold: int
    malicious: bool = False


class Terms(NamedTuple):
    """A plan applied to one round; from `terms_of`, which has checked it.

    Attributes:
        plan: The plan of the run.
        round_num: Round number.
        cohort: Client ids, ascending; a client's place is the share it holds.
        sharing: How masks are shared among the cohort.
        context: Plan and cohort, encoded; every message is authenticated together with it.
    """

    plan: Plan
    round_num: int
    cohort: tuple[int, ...]
    sharing: Sharing
    context: bytes

    @property
    def num_blocks(self) -> int:
        """Blocks of a mask (U - T)."""
        return self.plan.threshold - self.plan.colluders

    @property
    def share_length(self) -> int:
        """Residues per block, and so per share (L)."""
        return -(-self.plan.num_values // self.num_blocks)

    @property
    def pad_bytes(self) -> int:
        """Bytes of a share on the wire, and of its pad."""
        return packed_size(self.share_length, self.sharing.field.bits)

    def peers(self, client_id: int) -> tuple[int, ...]:
        """Return the cohort without one client."""
        return tuple(peer for peer in self.cohort if peer != client_id)

    @property
    def stream_bytes(self) -> int:
        """Key bytes that a round takes from each stream, see `messages`."""
        return self.pad_bytes + (3 if self.plan.malicious else 2) * MAC_KEY_BYTES


def terms_of(plan: Plan, round_num: int, cohort: tuple[int, ...]) -> Terms:
    """Return the terms of a round.

    Raises:
        ConfigError: The plan suits no cohort, or not this one.
        ProtocolError: The cohort is not a list of client ids, ascending.
    """
    if list(cohort) != sorted(set(cohort)) or (cohort and cohort[0] < 0):
        raise ProtocolError(f"a cohort is client ids from 0, ascending; got {list(cohort)}")
    n, d, T, U = len(cohort), plan.num_values, plan.colluders, plan.threshold
    if not (2 <= plan.bits <= 32 and d >= 1 and T >= 0):
        raise ConfigError(
            "shared masks take values of 2 to 32 bits, at least 1 value and 0 or more colluders; "
            f"got bits = {plan.bits}, {d} values, colluders = {T}"
        )
    if not T + 2 <= U <= n:
        raise ConfigError(
            f"threshold must be at least colluders + 2 = {T + 2} and at most the {n} clients of "
            f"round {round_num}, got {U}; what is left up to {n} may drop out"
        )
    if plan.malicious and n + T >= 2 * U:
        raise ConfigError(
            f"against a malicious server threshold must be above (clients + colluders)/2 = "
            f"{(n + T) / 2:g} in round {round_num}, got {U}; raise it or expect fewer colluders"
        )
    sharing = Sharing(field_above(n * (2**plan.bits - 1)), n, U, T)
    return Terms(plan, round_num, cohort, sharing, encode(*plan, cohort))


def plan_payload(plan: Plan) -> Payload:
    """Return a plan as the server's request states it; the name of the run is under the MACs."""
    return {field: int(value) for field, value in plan._asdict().items() if field != "run_id"}


def is_part(ids: tuple[int, ...], whole: tuple[int, ...]) -> bool:
    """Return whether `ids` are some of `whole`, in its order."""
    return ids == tuple(i for i in whole if i in set(ids))


class KeyBits(NamedTuple):
    """Key bits of one round on the links between clients, each link's bytes counted once."""

    pad: int
    mac: int


def key_per_pair(terms: Terms) -> KeyBits:
    """Return what two clients use up in a round: about 2wd/(U - T), and 256 per MAC."""
    num_macs = 6 if terms.plan.malicious else 4
    return KeyBits(2 * 8 * terms.pad_bytes, num_macs * MAC_KEY_BITS)


def key_of_round(terms: Terms) -> KeyBits:
    """Return what all pairs of the cohort use up in a round."""
    num_pairs = len(terms.cohort) * (len(terms.cohort) - 1) // 2
    pair = key_per_pair(terms)
    return KeyBits(num_pairs * pair.pad, num_pairs * pair.mac)
