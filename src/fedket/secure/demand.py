"""What a round asks of every stream of key, known before it begins.

The same terms as the protocols': a demand is what clients and server will reserve, byte for byte.
"""

from collections.abc import Callable

from fedket.secure.mac import MAC_KEY_BYTES
from fedket.secure.pairwise.graph import Degree
from fedket.secure.pairwise.terms import higher, num_messages, pad_bytes
from fedket.secure.quantise import WordMode, word_width
from fedket.secure.reducers import round_terms
from fedket.secure.shared_masks.plan import Plan, terms_of
from fedket.secure.shared_masks.server import num_messages as num_shared_messages
from fedket.types import SERVER, RoundContext, Stream

Demand = Callable[[RoundContext, int], dict[Stream, int]]
"""(round, values per update) -> bytes of each stream."""


def masked_demand(
    bits: int,
    word: WordMode,
    *,
    degree: Degree = "auto",
    bad_fraction: float = 1 / 3,
    mac: bool = True,
) -> Demand:
    """Return the demand of `masked_sum` with the same arguments."""

    def demand(context: RoundContext, num_values: int) -> dict[Stream, int]:
        width = word_width(bits, word, len(context.client_ids))
        terms = round_terms(context, num_values, width, degree, bad_fraction)
        pads = {(i, j): pad_bytes(terms) for i in terms.cohort for j in higher(terms, i)}
        return pads | (_mac_keys(terms.cohort, num_messages(terms)) if mac else {})

    return demand


def shared_mask_demand(bits: int, colluders: int, threshold: int, malicious: bool) -> Demand:
    """Return the demand of `shared_mask_sum` with the same arguments."""

    def demand(context: RoundContext, num_values: int) -> dict[Stream, int]:
        plan = Plan("", num_values, bits, colluders, threshold, malicious)
        cohort = tuple(sorted(context.client_ids))
        terms = terms_of(plan, context.round_num, cohort)
        shares = {(i, j): terms.stream_bytes for i in cohort for j in terms.peers(i)}
        return shares | _mac_keys(cohort, num_shared_messages(plan))

    return demand


def per_link(demand: dict[Stream, int]) -> dict[tuple[int, int], int]:
    """Return the key bits of each link, both directions together, the smaller party first."""
    links: dict[tuple[int, int], int] = {}
    for (a, b), num_bytes in demand.items():
        pair = (min(a, b), max(a, b))
        links[pair] = links.get(pair, 0) + 8 * num_bytes
    return links


def _mac_keys(cohort: tuple[int, ...], messages: int) -> dict[Stream, int]:
    num_bytes = messages * MAC_KEY_BYTES
    ends = [stream for i in cohort for stream in ((SERVER, i), (i, SERVER))]
    return dict.fromkeys(ends, num_bytes)
