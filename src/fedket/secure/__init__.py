"""Secure aggregation: quantiser, words on the wire, I/O-free protocol phases, reducers."""

from fedket.secure.bounds import bounded_sum
from fedket.secure.costs import (
    key_bits_per_pair,
    key_bits_per_round,
    mac_bits_per_client,
    masked_upload_bytes,
    upload_bytes,
)
from fedket.secure.demand import Demand, masked_demand, per_link, shared_mask_demand
from fedket.secure.pairwise.graph import Degree, choose_degree, smallest_degree
from fedket.secure.quantise import headroom, safe
from fedket.secure.reducers import masked_sum, plain_sum, quantised_sum
from fedket.secure.shared_masks.plan import masked_vector_bytes
from fedket.secure.shared_masks_reducer import shared_mask_sum
from fedket.secure.sparse import kept_values, random_k
from fedket.secure.starvation import Option, starving_sum

__all__ = [
    "Degree",
    "Demand",
    "Option",
    "bounded_sum",
    "choose_degree",
    "headroom",
    "kept_values",
    "key_bits_per_pair",
    "key_bits_per_round",
    "mac_bits_per_client",
    "masked_demand",
    "masked_sum",
    "masked_upload_bytes",
    "masked_vector_bytes",
    "per_link",
    "plain_sum",
    "quantised_sum",
    "random_k",
    "safe",
    "shared_mask_demand",
    "shared_mask_sum",
    "smallest_degree",
    "starving_sum",
    "upload_bytes",
]
