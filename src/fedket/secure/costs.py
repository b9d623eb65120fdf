"""What a round costs in bytes and key bits, known before it runs.

n clients, d values each, words of w bits, k neighbours per client: an upload holds ceil(w*d/8)
bytes of words, and so does the pad of each of the n*k/2 pairs (keys come in whole bytes). With
MACs each client's link with the server uses a 256-bit key per message and direction: RESERVE,
READY, one UPLOAD (more if it is cut into pieces) and, set aside in case, an abort.

These are what a round *sets aside*; all of it is used up, whether the round succeeds or not.
"""

from fedket.secure.mac import MAC_KEY_BITS, TAG_BYTES
from fedket.secure.pairwise.graph import Degree, choose_degree, num_edges
from fedket.secure.quantise import WordMode, word_width
from fedket.secure.words import packed_size


def upload_bytes(num_values: int, bits: int, word: WordMode, num_clients: int) -> int:
    """Return the bytes of one client's words in one round of quantised or masked aggregation."""
    return packed_size(num_values, word_width(bits, word, num_clients))


def key_bits_per_pair(num_values: int, bits: int, word: WordMode, num_clients: int) -> int:
    """Return the pad bits that two clients who are neighbours use up in one round."""
    return 8 * upload_bytes(num_values, bits, word, num_clients)


def mac_bits_per_client(num_pieces: int = 1) -> int:
    """Return the MAC key bits that a client's link with the server uses up in one round."""
    return 2 * MAC_KEY_BITS * (3 + num_pieces)


def key_bits_per_round(
    num_values: int,
    bits: int,
    word: WordMode,
    num_clients: int,
    *,
    degree: Degree = "auto",
    bad_fraction: float = 1 / 3,
    mac: bool = True,
) -> int:
    """Return the key bits of all links in one round, uploads in one piece; see `masked_sum`."""
    edges = num_edges(num_clients, choose_degree(degree, num_clients, bad_fraction))
    pad_bits = edges * key_bits_per_pair(num_values, bits, word, num_clients)
    return pad_bits + (num_clients * mac_bits_per_client() if mac else 0)


def masked_upload_bytes(
    num_values: int,
    bits: int,
    word: WordMode,
    num_clients: int,
    *,
    degree: Degree = "auto",
    bad_fraction: float = 1 / 3,
    mac: bool = True,
) -> int:
    """Return the bytes all clients send in one round of masked aggregation, in all its phases.

    Words, 8 bytes per announced offset of a pad, and with MACs three tags and one more offset per
    client; uploads in one piece.
    """
    edges = num_edges(num_clients, choose_degree(degree, num_clients, bad_fraction))
    each = upload_bytes(num_values, bits, word, num_clients) + (3 * TAG_BYTES + 8 if mac else 0)
    return num_clients * each + 8 * edges
