"""Both sides of a masked sum, as they run apart: the server's generator and a site's handler.

The same functions as in a simulation (`fedket.secure.masked_sum`, `shared_mask_sum`); what is
split here is only who holds what. The first request of a round carries the global model and the
samples of everyone in it, under the same MAC as the rest of the message.
"""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from fedket.experiment.check import threshold_of
from fedket.experiment.config_secure import AggregationConfig
from fedket.federated.trainer import cohort_weights
from fedket.secure.bounds import Scale, scaled
from fedket.secure.channel import authenticated_client, authenticated_server
from fedket.secure.differencing_guard import guard_differencing
from fedket.secure.metering import metered
from fedket.secure.pairwise.client import pairwise_client
from fedket.secure.pairwise.server import pairwise_server
from fedket.secure.pairwise.terms import num_messages
from fedket.secure.phases import Handler, Payload, Phase, Server, State, mapped
from fedket.secure.quantise import QUANTISERS, Quantiser, dequantise, quantise, rounding_noise, safe
from fedket.secure.reducers import phases_traffic, round_terms, shares_of
from fedket.secure.shared_masks.client import shared_masks_client
from fedket.secure.shared_masks.plan import Plan, terms_of
from fedket.secure.shared_masks.server import num_messages as num_shared_messages
from fedket.secure.shared_masks.server import shared_masks_server
from fedket.secure.shared_masks_reducer import SILENT, ring_words, signed_integers
from fedket.secure.tags import MacKeys
from fedket.secure.words import Words
from fedket.types import Contribution, KeySource, RoundContext, Traffic

Begin = Callable[[Server[Any]], Server[Any]]


class Masking(NamedTuple):
    """How updates of a run become a sum; the same at the server and at every site.

    Attributes:
        how: The experiment's table.
        bounds: Tree prefix of a contribution with a `Bound` for each leaf.
        template: A contribution's shapes and types.
        sites: Sites of the federation, those that are away included.
        seed: The experiment's seed.
    """

    how: AggregationConfig
    bounds: Any
    template: Contribution
    sites: int
    seed: int

    @property
    def num_values(self) -> int:
        """Values of a contribution."""
        return sum(leaf.size for leaf in jax.tree.leaves(self.template))


def round_context(
    seed: int, round_num: int, cohort: tuple[int, ...], samples: Mapping[int, int]
) -> RoundContext:
    """What everybody knows of a round, with the shares of the engines that simulate."""
    counts = np.array([samples[i] for i in cohort])
    weights = cohort_weights(counts, np.ones(len(cohort), dtype=bool))
    return RoundContext(seed, round_num, cohort, tuple(weights.tolist()))


def server_sum(
    masking: Masking,
    context: RoundContext,
    keys: KeySource,
    run_id: str,
    first: Payload,
    deadline: float,
    opened: Path | None = None,
) -> Server[tuple[Contribution, Traffic]]:
    """Return the server's side of one round: it ends with the sum, and what that cost.

    Args:
        masking: How.
        context: The round; clients that drop out leave its weights as they are.
        keys: The server's ends of its links.
        run_id: Name of the session, part of every authenticated message.
        first: What the first request carries besides.
        deadline: Seconds for each phase, unless the engine knows better.
        opened: Where it is remembered whose sum may be open; without, a server that dies in this
            round must never begin it again.
    """
    quantiser, scale = _quantiser(masking, context)
    side = _pairwise if masking.how.kind == "masked" else _shared

    def begun(server: Server[Any]) -> Server[Any]:
        if opened is not None:
            server = guard_differencing(server, context.round_num, context.client_ids, opened)
        return _carrying(server, first)

    server = side(masking, context, quantiser, MacKeys(keys, run_id), begun, deadline)
    (words, missing), phases = yield from metered(server)
    flat = dequantise(quantiser, words)
    one, unravel = ravel_pytree(
        jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), masking.template)
    )
    total = scale.undo(unravel(jnp.asarray(flat, one.dtype)))
    return total, phases_traffic(phases, num_clipped=None)._replace(missing=missing)


def _pairwise(
    masking: Masking,
    context: RoundContext,
    quantiser: Quantiser,
    mac: MacKeys,
    begun: Begin,
    deadline: float,
) -> Server[tuple[Words, Mapping[int, str]]]:
    how = masking.how
    terms = round_terms(
        context, masking.num_values, quantiser.word_bits, how.degree or "auto", how.bad_fraction
    )
    server = begun(pairwise_server(terms, deadline))
    if how.mac:
        messages = num_messages(terms)
        server = authenticated_server(server, mac, context.round_num, terms.cohort, messages)
    result = yield from server
    return result.words, result.missing


def _shared(
    masking: Masking,
    context: RoundContext,
    quantiser: Quantiser,
    mac: MacKeys,
    begun: Begin,
    deadline: float,
) -> Server[tuple[Words, Mapping[int, str]]]:
    plan = plan_of(masking, mac.run_id)
    terms = terms_of(plan, context.round_num, context.client_ids)
    server = begun(shared_masks_server(terms, deadline))
    messages = num_shared_messages(plan)
    server = authenticated_server(server, mac, context.round_num, terms.cohort, messages)
    result = yield from server
    missing = {i: f"{SILENT}: {why}" for i, why in result.missing.items()}
    return ring_words(quantiser, result.total), missing


def _carrying(server: Server[Any], first: Payload) -> Server[Any]:
    """Add fields to the first request of a protocol."""
    fields: list[Payload] = [first]

    def carry(phase: Phase) -> Phase:
        return phase._replace(payload={**phase.payload, **(fields.pop() if fields else {})})

    return mapped(server, carry)


def site_side(
    masking: Masking,
    client_id: int,
    keys: KeySource,
    run_id: str,
    contribute: Callable[[int], tuple[Contribution, RoundContext] | None],
) -> Handler[Any]:
    """Return a site's handler of the protocol inside its authenticated channel.

    Args:
        masking: How; the site's own idea of it, not the server's.
        client_id: The site's number.
        keys: Its ends of its links.
        run_id: Name of the session.
        contribute: Round number -> contribution and what the round was said to be, or None if
            there is no usable one.
    """
    if masking.how.kind == "masked":
        words = partial(_words, masking, client_id, contribute)
        return pairwise_client(client_id, keys, words)
    integers = partial(_integers, masking, client_id, contribute)
    return shared_masks_client(client_id, keys, integers, plan_of(masking, run_id))


def authenticated(
    masking: Masking, handler: Handler[State], client_id: int, keys: KeySource, run_id: str
) -> Handler[Any]:
    """Put a site's handler behind the MACs that the experiment asks for."""
    if masking.how.kind == "masked" and not masking.how.mac:
        return handler
    return authenticated_client(handler, client_id, MacKeys(keys, run_id))


def plan_of(masking: Masking, run_id: str) -> Plan:
    """What shared masks go by; the threshold is that of the whole federation."""
    how = masking.how
    threshold = threshold_of(how, masking.sites)
    return Plan(run_id, masking.num_values, how.bits, how.colluders, threshold, how.malicious)


def _quantiser(masking: Masking, context: RoundContext) -> tuple[Quantiser, Scale]:
    """The quantiser of a round, and how contributions are scaled for it."""
    how = masking.how
    scale, context = scaled(masking.bounds, how.clip, context)
    make = QUANTISERS[how.word] if how.kind == "masked" else safe
    return make(how.bits, how.clip, shares_of(context)), scale


def encode(
    masking: Masking, client_id: int, contribution: Contribution, context: RoundContext
) -> tuple[Quantiser, Words]:
    """Turn a site's contribution into the words that are masked."""
    quantiser, scale = _quantiser(masking, context)
    _, equal = scaled(masking.bounds, masking.how.clip, context)
    share = shares_of(equal)[context.client_ids.index(client_id)]
    values = np.asarray(ravel_pytree(scale.apply(contribution))[0])
    noise = rounding_noise(masking.seed, context.round_num, (client_id,), values.size)[0]
    return quantiser, quantise(quantiser, values, share, noise).words


def _words(
    masking: Masking,
    client_id: int,
    contribute: Callable[[int], tuple[Contribution, RoundContext] | None],
    round_num: int,
) -> Words | None:
    made = contribute(round_num)
    return made and encode(masking, client_id, *made)[1]


def _integers(
    masking: Masking,
    client_id: int,
    contribute: Callable[[int], tuple[Contribution, RoundContext] | None],
    round_num: int,
) -> np.ndarray | None:
    made = contribute(round_num)
    return made and signed_integers(*encode(masking, client_id, *made))
