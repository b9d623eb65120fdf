"""Simulated quantum key distribution: key rates, links that really distil, networks, a key source.

From photons to pads: `mdi`, `kato`, `finite_key` and `bb84` say how much key the physics allow;
`cascade`, `toeplitz` and `conversation` make it from raw bits; `link` joins the two over simulated
clicks; `network`, `reservoir` and `source` feed rounds of a federation. Nothing here protects data:
see `source`.
"""

from fedket.keys.qkd.alarms import Alarm, LinkAlarmError
from fedket.keys.qkd.link import DistilledBlock, Link, distil_block, preshared_keys
from fedket.keys.qkd.network import (
    FibreNetwork,
    fibre_loss,
    link_network,
    star_network,
    uniform_network,
)
from fedket.keys.qkd.presets import calibrated_link, network_links, pair_rates
from fedket.keys.qkd.rates import rate_curve
from fedket.keys.qkd.reservoir import Reservoir, round_seconds, wait_for
from fedket.keys.qkd.source import SimulatedKeySource, SourceStatus

__all__ = [
    "Alarm",
    "DistilledBlock",
    "FibreNetwork",
    "Link",
    "LinkAlarmError",
    "Reservoir",
    "SimulatedKeySource",
    "SourceStatus",
    "calibrated_link",
    "distil_block",
    "fibre_loss",
    "link_network",
    "network_links",
    "pair_rates",
    "preshared_keys",
    "rate_curve",
    "round_seconds",
    "star_network",
    "uniform_network",
    "wait_for",
]
