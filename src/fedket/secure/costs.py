"""What a round costs in bytes and key bits, known before it runs.

n clients, d values each, words of w bits: an upload is ceil(w*d/8) bytes, and so is the pad of
each of the n(n-1)/2 pairs (keys come in whole bytes).
"""

from fedket.secure.quantise import WordMode, word_width
from fedket.secure.words import packed_size


def upload_bytes(num_values: int, bits: int, word: WordMode, num_clients: int) -> int:
    """Return the bytes one client uploads in one round of quantised or masked aggregation."""
    return packed_size(num_values, word_width(bits, word, num_clients))


def key_bits_per_pair(num_values: int, bits: int, word: WordMode, num_clients: int) -> int:
    """Return the key bits one pair of clients uses up in one round of masked aggregation."""
    return 8 * upload_bytes(num_values, bits, word, num_clients)


def key_bits_per_round(num_values: int, bits: int, word: WordMode, num_clients: int) -> int:
    """Return the key bits all pairs of the complete graph use up in one round."""
    num_pairs = num_clients * (num_clients - 1) // 2
    return num_pairs * key_bits_per_pair(num_values, bits, word, num_clients)
