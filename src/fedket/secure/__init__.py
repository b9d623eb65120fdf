"""Secure aggregation: quantiser, words on the wire, I/O-free protocol phases, reducers."""

from fedket.secure.costs import (
    key_bits_per_pair,
    key_bits_per_round,
    mac_bits_per_client,
    masked_upload_bytes,
    upload_bytes,
)
from fedket.secure.graph import choose_degree, smallest_degree
from fedket.secure.quantise import headroom, safe
from fedket.secure.reducers import masked_sum, plain_sum, quantised_sum

__all__ = [
    "choose_degree",
    "headroom",
    "key_bits_per_pair",
    "key_bits_per_round",
    "mac_bits_per_client",
    "masked_sum",
    "masked_upload_bytes",
    "plain_sum",
    "quantised_sum",
    "safe",
    "smallest_degree",
    "upload_bytes",
]
