"""Secure aggregation: protocols without I/O, quantiser, words on the wire, reducers."""

from fedket.secure.hierarchy.protocol import hierarchical_protocol
from fedket.secure.in_process import reduce_in_process
from fedket.secure.pairwise.graph import Degree, choose_degree, smallest_degree
from fedket.secure.pairwise.protocol import masked_sum, pairwise_protocol
from fedket.secure.plain import plain_sum
from fedket.secure.protocol import Party, Protocol, RoundCost, per_link
from fedket.secure.quantised import quantised_protocol, quantised_sum
from fedket.secure.shared_masks.protocol import shared_mask_sum, shared_masks_protocol
from fedket.secure.sides import client_side, fresh_state, round_cost, server_side
from fedket.secure.sparse import kept_values, random_k
from fedket.secure.starvation import Option, options_of, starving_sum

__all__ = [
    "Degree",
    "Option",
    "Party",
    "Protocol",
    "RoundCost",
    "choose_degree",
    "client_side",
    "fresh_state",
    "hierarchical_protocol",
    "kept_values",
    "masked_sum",
    "options_of",
    "pairwise_protocol",
    "per_link",
    "plain_sum",
    "quantised_protocol",
    "quantised_sum",
    "random_k",
    "reduce_in_process",
    "round_cost",
    "server_side",
    "shared_mask_sum",
    "shared_masks_protocol",
    "smallest_degree",
    "starving_sum",
]
