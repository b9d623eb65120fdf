"""Protocol B as a `Protocol`: integers modulo a prime, under self-masks that clients share."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Literal

from fedket.schema import NonNegativeInt, PositiveFloat
from fedket.section import Context, Section
from fedket.secure.begun import STATEMENT_BYTES, Begun
from fedket.secure.in_process import reduce_in_process
from fedket.secure.mac import TAG_BYTES
from fedket.secure.phases import Handler, Server
from fedket.secure.protocol import (
    Answers,
    Party,
    Protocol,
    RoundCost,
    Total,
    Update,
    everybody_answers,
    halved,
)
from fedket.secure.quantise import safe
from fedket.secure.shared_masks.client import ClientState, shared_masks_client
from fedket.secure.shared_masks.plan import Plan, Terms, terms_of
from fedket.secure.shared_masks.server import num_messages, shared_masks_server
from fedket.secure.shares import DEFAULT, MaxShare, check_max_share
from fedket.secure.words import packed_size
from fedket.types import KeySource, Reducer, RoundContext

SILENT = "delivered no masked update"

ACTIONS = ("reserve", "share", "upload", "open")


def shared_masks_protocol(
    bits: int,
    clip: float,
    *,
    colluders: int,
    threshold: int,
    malicious: bool = False,
    max_share: float = DEFAULT,
) -> Protocol:
    """Return Protocol B: an exact sum in spite of drop-outs, see the server's side in `server`.

    Args:
        bits: Bits per value (q); values become integers as in `quantise.safe`.
        clip: Largest absolute unweighted update per coordinate.
        colluders: Clients that may collude with the server (T).
        threshold: Clients that must be alive until the sum opens (U), at least colluders + 2.
        malicious: Whether clients also hold out against a server that lies.
        max_share: See `fedket.secure.shares`.

    Raises (in a round):
        ConfigError: `colluders` and `threshold` do not suit each other or the cohort.
    """

    def terms(context: RoundContext, num_values: int, run_id: str = "") -> Terms:
        return terms_of(plan(run_id, num_values), context.round_num, context.client_ids)

    def plan(run_id: str, num_values: int) -> Plan:
        return Plan(run_id, num_values, bits, colluders, threshold, malicious)

    def server(
        context: RoundContext, num_values: int, run_id: str, deadline: float
    ) -> Server[Total]:
        total = yield from shared_masks_server(terms(context, num_values, run_id), deadline)
        return Total(total.total, {i: f"{SILENT}: {why}" for i, why in total.missing.items()})

    def client(
        client_id: int, party: Party, update: Update, num_values: int, begun: Begun
    ) -> Handler[ClientState]:
        agreed = plan(party.run_id, num_values)
        return shared_masks_client(client_id, party.keys, update, agreed, begun.statement)

    def cost(context: RoundContext, num_values: int) -> RoundCost:
        return _cost(terms(context, num_values))

    def cheaper(step: str, num_clients: int) -> Sequence[tuple[str, Protocol]]:  # noqa: ARG001
        again = partial(
            shared_masks_protocol,
            clip=clip,
            colluders=colluders,
            threshold=threshold,
            malicious=malicious,
            max_share=max_share,
        )
        return [(f"{b} bits", again(b)) for b in halved(bits)] if step == "lower_bits" else []

    return Protocol(
        clip=clip,
        quantiser=partial(safe, bits, clip),
        server=server,
        client=client,
        state=ClientState,
        cost=cost,
        trains="upload",
        opens={"confirm": "alive", "open": "alive"},
        least=threshold,
        takes_key=True,
        authenticated=True,
        cheaper=cheaper,
        max_share=max_share,
        actions=ACTIONS,
    )


def shared_mask_sum(
    bits: int,
    clip: float,
    key_source: KeySource,
    *,
    colluders: int,
    threshold: int,
    malicious: bool = False,
    run_id: str = "in process",
    answers: Answers = everybody_answers,
) -> Reducer:
    """Return the reducer of `shared_masks_protocol`, with all parties' keys; arguments as there.

    With nobody dropping out it equals `quantised_sum` with modulus `safe` bit for bit.
    """
    protocol = shared_masks_protocol(
        bits,
        clip,
        colluders=colluders,
        threshold=threshold,
        malicious=malicious,
    )
    return reduce_in_process(protocol, key_source, run_id, answers)


def _cost(terms: Terms) -> RoundCost:
    num_peers, malicious = len(terms.cohort) - 1, terms.plan.malicious
    vector = packed_size(terms.plan.num_values, terms.sharing.field.bits)
    share = num_peers * (8 + TAG_BYTES + 8 + terms.pad_bytes + TAG_BYTES)
    held = 8 * len(terms.cohort)
    confirm = num_peers * TAG_BYTES if malicious else 0
    key = {(i, j): terms.stream_bytes for i in terms.cohort for j in terms.peers(i)}
    answers = STATEMENT_BYTES + share + held + vector + confirm + terms.pad_bytes
    return RoundCost(len(terms.cohort) * answers, vector, key, num_messages(terms.plan))


CURIOUS = (
    "shared_masks with aggregation.colluders = 0: one curious client together with the server "
    "learns a part of every update, with aggregation.threshold = 2 half of it. Use colluders = 1 "
    "and threshold = 3, or more; three sites then must all be there."
)

TWO_LISTS = (
    "shared_masks without aggregation.malicious hold against a server that follows the protocol. "
    "One that lies can name clients different lists of who is alive, and read the difference of "
    "two sums. What else it shows them, models and numbers of samples, they compare."
)


class SharedMasksConfig(Section):
    """Updates under masks whose shares the others hold: exact in spite of drop-outs."""

    kind: Literal["shared_masks"] = "shared_masks"
    bits: Literal[4, 8, 16, 32] = 16
    """Quantised bits per value (q)."""
    clip: PositiveFloat = 1.0
    """Largest absolute update per coordinate; larger ones are clipped."""
    colluders: NonNegativeInt = 1
    """Clients that may join the server without learning more (T)."""
    threshold: NonNegativeInt = 0
    """Clients that must be alive until the sum opens (U), at least colluders + 2; 0 means three
    quarters of the cohort."""
    malicious: bool = False
    """Hold out against a server that lies; threshold must exceed (clients + colluders)/2."""
    max_share: MaxShare = DEFAULT
    """Largest share of a round's samples that may be one site's; simulated clients are not asked
    how many they have."""

    def check(self, context: Context) -> None:
        """Refuse what cannot be kept."""
        check_max_share(self.max_share, context)

    def build(self, context: Context) -> Protocol:
        """The protocol."""
        three_quarters = math.ceil(3 * context.cohort_size / 4)
        return shared_masks_protocol(
            self.bits,
            self.clip,
            colluders=self.colluders,
            threshold=self.threshold or max(self.colluders + 2, three_quarters),
            malicious=self.malicious,
            max_share=self.max_share,
        )

    def caveats(self) -> tuple[str, ...]:
        """What the server sees."""
        return (
            f"shared_masks: the server, together with up to {self.colluders} clients "
            "(aggregation.colluders), sees only the sum over the clients that were alive to the "
            "end. All other clients together with the server can still work out one client's "
            "update.",
            *(() if self.malicious else (TWO_LISTS,)),
            *(() if self.colluders else (CURIOUS,)),
        )
