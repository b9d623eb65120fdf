"""How long simulated links need to feed the rounds of an experiment, said before it runs."""

from math import ceil, inf

from fedket.keys.qkd.network import Pair, network_links, pair_rates
from fedket.keys.source_kinds import SimulatedConfig
from fedket.record import MAX_LINKS, KeyFeed, LinkFeed, link_name
from fedket.section import Context

Bits = dict[Pair, int]


def key_feed(keys: SimulatedConfig, context: Context, needs: Bits) -> KeyFeed:
    """Planned rate, need and time per round of each link, and the tight one; simulated.

    Args:
        keys: Simulated links.
        context: Of the experiment.
        needs: Key bits of every link in a round.
    """
    network = keys.network(context)
    links = network_links(network, keys.protocol, keys.block_pulses, keys.clock_hz)
    rates = pair_rates(network, links)
    seconds = {pair: bits / rates[pair] if rates[pair] else inf for pair, bits in needs.items()}
    slowest = sorted(seconds, key=lambda pair: (-seconds[pair], pair))
    tight = slowest[0]
    blocks = ceil(needs[tight] / max(1.0, links[tight].planned_bits()))
    first = blocks * links[tight].block_seconds * network.relay_mux
    return KeyFeed(
        tight_link=link_name(tight),
        seconds_per_round=seconds[tight],
        bound="key" if seconds[tight] > keys.training_s else "training",
        first_key_s=first if rates[tight] else inf,
        links=tuple(
            LinkFeed(
                link=link_name(pair),
                rate_bps=round(rates[pair], 1),
                bits_per_round=needs[pair],
                seconds_per_round=seconds[pair],
            )
            for pair in slowest[:MAX_LINKS]
        ),
    )
