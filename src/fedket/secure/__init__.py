"""Secure aggregation: quantiser, words on the wire, I/O-free protocol phases, reducers."""

from fedket.secure.costs import key_bits_per_pair, key_bits_per_round, upload_bytes
from fedket.secure.quantise import headroom, safe
from fedket.secure.reducers import masked_sum, plain_sum, quantised_sum

__all__ = [
    "headroom",
    "key_bits_per_pair",
    "key_bits_per_round",
    "masked_sum",
    "plain_sum",
    "quantised_sum",
    "safe",
    "upload_bytes",
]
