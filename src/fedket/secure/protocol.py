"""What a secure sum is: the one object that servers, clients, simulations and benchmarks go by.

A protocol adds integers. `fedket.secure.sides` puts around it what every protocol has: floats made
integers, the phase that carries the model, authenticated messages, accounts of what it costs.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from fedket.errors import ConfigError
from fedket.secure.begun import Begun
from fedket.secure.encoding import Coder, quantising_coder
from fedket.secure.phases import Handler, Server
from fedket.secure.quantise import Quantiser
from fedket.secure.words import Integers
from fedket.types import KeySource, RoundContext, Stream

Update = Callable[[int], Integers | None]
"""Round number -> a client's integers, or None when there is no usable update."""

MakeCoder = Callable[[Callable[[Sequence[float]], Quantiser], float, RoundContext, int], Coder]
"""(quantiser of a protocol, its clip, round, values of a contribution) -> the round's coder."""

Answers = Callable[[int, int, str], bool]
"""(round, client, action) -> whether the client answers: a model of drop-outs for simulations."""


def everybody_answers(round_num: int, client_id: int, action: str) -> bool:  # noqa: ARG001
    """The model without drop-outs."""
    return True


class Party(NamedTuple):
    """Who a party is to its peers.

    Attributes:
        run_id: Name of the run, the same at all parties and another for every run.
        source: Its ends of its links; None where no key is open.
    """

    run_id: str
    source: KeySource | None = None

    @property
    def keys(self) -> KeySource:
        """Its ends of its links.

        Raises:
            ConfigError: There are none.
        """
        if self.source is None:
            raise ConfigError(
                "the aggregation takes key, but no key source is open; open one with "
                "`with open_keys(config) as keys` and pass it to build_experiment"
            )
        return self.source


class Total(NamedTuple):
    """What a server generator ends with.

    Attributes:
        integers: Sum over the members, shape (num_values,), exact.
        missing: Client of the cohort whose update is not in it -> why not.
    """

    integers: Integers
    missing: Mapping[int, str]


class RoundCost(NamedTuple):
    """What a round sets aside and sends if nobody drops out, known before it begins.

    Attributes:
        upload_bytes: Payload bytes from all clients to the server, in all phases.
        vector_bytes: Those of one client's values alone.
        key: Bytes of each stream. All of it is used up, whether the round succeeds or not.
        num_requests: The most requests to a client, that of an abort included.
        num_answers: Answers of all clients together; None if each answers all but the abort.
    """

    upload_bytes: int
    vector_bytes: int
    key: Mapping[Stream, int]
    num_requests: int
    num_answers: int | None = None


class Protocol(NamedTuple):
    """How integers of a round's clients become their sum, at the server and at a client.

    Attributes:
        clip: Largest absolute unweighted update per coordinate (c).
        quantiser: Shares of a round's clients -> how their values become integers.
        server: (round, values per client, name of the run, seconds for each phase) -> the server's
            generator. It raises `RoundLostError` when the round ends without a sum.
        client: (client, as whom others know it, its update, values, what its round began with) ->
            its handler.
        state: Latest round that a client took part in -> its state; has a `round_num`.
        cost: (round, values per client) -> what a round costs, without the channel.
        trains: Action on which a client is asked for its update.
        opens: Action that leads to an open sum -> field of the request with whose sum it is.
        least: Clients without which no sum is opened.
        takes_key: Whether clients hide their updates behind key that they share.
        authenticated: Whether messages between clients and server carry MACs.
        cheaper: (step of a starvation policy, clients) -> protocols that take less key, each with
            what it gives up; empty where the step does not help.
        actions: Requests at which a simulated client may fall silent, in their order.
        max_share: Largest share of a cohort's samples that one site may have, see
            `fedket.secure.shares`.
        coder: How contributions become integers, for `fedket.secure.sides`.
        private: Whether the coder keeps a promise of privacy, so that clients send nothing else.
    """

    clip: float
    quantiser: Callable[[Sequence[float]], Quantiser]
    server: Callable[[RoundContext, int, str, float], Server[Total]]
    client: Callable[[int, Party, Update, int, Begun], Handler[Any]]
    state: Callable[[int], Any]
    cost: Callable[[RoundContext, int], RoundCost]
    trains: str
    opens: Mapping[str, str]
    least: int
    takes_key: bool
    authenticated: bool
    cheaper: Callable[[str, int], Sequence[tuple[str, "Protocol"]]]
    actions: tuple[str, ...] = ("upload",)
    max_share: float = 1.0
    coder: MakeCoder = quantising_coder
    private: bool = False


def halved(bits: int) -> list[int]:
    """Bits per value that the step `lower_bits` tries."""
    return [fewer for fewer in (bits // 2, bits // 4) if fewer >= 8]


def per_link(key: Mapping[Stream, int]) -> dict[tuple[int, int], int]:
    """Return the key bits of each link, both directions together, the smaller party first."""
    links: dict[tuple[int, int], int] = {}
    for (a, b), num_bytes in key.items():
        pair = (min(a, b), max(a, b))
        links[pair] = links.get(pair, 0) + 8 * num_bytes
    return links
