"""The sum of quantised updates without masks: the server sees every update, rounded."""

from collections.abc import Sequence
from functools import partial
from typing import Literal, NamedTuple

import numpy as np

from fedket.errors import ProtocolError, RoundLostError
from fedket.schema import PositiveFloat
from fedket.section import Context, Section
from fedket.secure.begun import Begun
from fedket.secure.client_steps import refusal, stepwise
from fedket.secure.in_process import reduce_in_process
from fedket.secure.phases import (
    Failure,
    Handler,
    Outcome,
    Outcomes,
    Payload,
    Phase,
    Reply,
    Server,
    integer,
    octets,
)
from fedket.secure.protocol import Party, Protocol, RoundCost, Total, Update, halved
from fedket.secure.quantise import QUANTISERS, Modulus, word_width
from fedket.secure.words import (
    Integers,
    nearest_integers,
    pack_words,
    packed_size,
    to_words,
    unpack_words,
)
from fedket.types import Reducer, RoundContext


class ClientState(NamedTuple):
    """A client remembers nothing but the round."""

    round_num: int = 0


class _Client(NamedTuple):
    client_id: int
    update: Update


def quantised_protocol(bits: int, clip: float, *, modulus: Modulus = "headroom") -> Protocol:
    """Return the protocol of one phase, `upload`: words as they are, without key.

    Args:
        bits: Bits per value (q).
        clip: Largest absolute unweighted update per coordinate.
        modulus: `headroom` or `safe`, see `fedket.secure.quantise`.

    Raises (in a round):
        ConfigError: The cohort is too large for `bits` with `headroom`.
    """

    def width(context: RoundContext) -> int:
        return word_width(bits, modulus, len(context.client_ids))

    def server(
        context: RoundContext,
        num_values: int,
        run_id: str,  # noqa: ARG001 - the same signature as other protocols
        deadline: float,
    ) -> Server[Total]:
        request = {"round_num": context.round_num, "word_bits": width(context)}
        outcomes = yield Phase("upload", context.client_ids, request, deadline)
        total, missing = np.zeros(num_values, np.int64), dict[int, str]()
        for client_id in context.client_ids:
            try:
                total += _read(client_id, outcomes, num_values, width(context))
            except ProtocolError as error:
                missing[client_id] = str(error)
        if len(missing) == len(context.client_ids):
            raise RoundLostError(
                f"round {context.round_num}: no update of {len(missing)} clients arrived; the "
                f"first failure: {next(iter(missing.values()))}",
                missing,
            )
        return Total(total, missing)

    def client(
        client_id: int,
        party: Party,  # noqa: ARG001
        update: Update,
        num_values: int,  # noqa: ARG001
        begun: Begun,  # noqa: ARG001
    ) -> Handler[ClientState]:
        return stepwise(
            _Client(client_id, update), {"upload": _upload}, lambda _, __, ended: ClientState(ended)
        )

    def cost(context: RoundContext, num_values: int) -> RoundCost:
        size = packed_size(num_values, width(context))
        return RoundCost(len(context.client_ids) * size, size, {}, 1)

    def cheaper(step: str, num_clients: int) -> Sequence[tuple[str, Protocol]]:  # noqa: ARG001
        again = partial(quantised_protocol, clip=clip, modulus=modulus)
        return [(f"{b} bits", again(b)) for b in halved(bits)] if step == "lower_bits" else []

    return Protocol(
        clip=clip,
        quantiser=partial(QUANTISERS[modulus], bits, clip),
        server=server,
        client=client,
        state=ClientState,
        cost=cost,
        trains="upload",
        opens={},
        least=1,
        takes_key=False,
        authenticated=False,
        cheaper=cheaper,
    )


def quantised_sum(bits: int, modulus: Modulus, clip: float) -> Reducer:
    """Return the reducer of `quantised_protocol`; arguments as there."""
    return reduce_in_process(quantised_protocol(bits, clip, modulus=modulus))


def _upload(client: _Client, payload: Payload, state: ClientState) -> tuple[Outcome, ClientState]:
    round_num, word_bits = integer(payload, "round_num"), integer(payload, "word_bits")
    if round_num == state.round_num:
        raise refusal(client.client_id, round_num, "a second `upload`, but rounds only go up")
    integers = client.update(round_num)
    if integers is None:
        raise ProtocolError(f"client {client.client_id} has no usable update this round")
    words = pack_words(to_words(integers, word_bits), word_bits)
    return Reply({"words": words}), ClientState(round_num)


def _read(client_id: int, outcomes: Outcomes, num_values: int, word_bits: int) -> Integers:
    outcome = outcomes.get(client_id, Failure("no answer"))
    if isinstance(outcome, Failure):
        raise ProtocolError(outcome.reason)
    words = unpack_words(octets(outcome.payload, "words"), num_values, word_bits)
    return nearest_integers(words, word_bits)


MODULI = {
    "headroom": "Words of q bits; values are scaled down so that the sum does not overflow.",
    "safe": "Words of q + ⌈log₂ clients⌉ bits, so that the sum cannot overflow.",
}


class WordsConfig(Section):
    """Keys of aggregations that add words."""

    bits: Literal[4, 8, 16, 32] = 16
    """Quantised bits per value (q)."""
    clip: PositiveFloat = 1.0
    """Largest absolute update per coordinate; larger ones are clipped."""
    modulus: Modulus = "headroom"
    """`headroom`: words of q bits; `safe`: words of q + ceil(log2 clients) bits."""


class QuantisedConfig(WordsConfig):
    """The sum of words as they are; the server sees each client's update, rounded."""

    kind: Literal["quantised"] = "quantised"

    def build(self, context: Context) -> Protocol:
        """The protocol."""
        return quantised_protocol(self.bits, self.clip, modulus=self.modulus)

    def caveats(self) -> tuple[str, ...]:
        """What the server sees."""
        return ("quantised: the server sees each client's update, rounded.", MODULI[self.modulus])
