"""Stochastic quantiser: weighted float updates to integers, and a sum of these back to floats.

Client i of K holds v_i = p_i * delta_i, where p_i > 0 is its public share (sum of p_i = 1). Each
coordinate of delta_i is limited to +-c (`clip`), so v_i to +-p_i * c, multiplied by the scale s
and rounded at random to one of the two neighbouring integers z_i, so that E[z_i] = s * v_i. Where
a protocol adds words z_i modulo 2^w, the sum is that of the z_i as long as abs(sum) < 2^(w-1).
Two ways to see to that, the modulus, with L = 2^(q-1) - 1 for q-bit values:

headroom  w = q, s = (L - K)/c. Rounding moves each z_i by less than 1 and s*abs(v_i) <= p_i*c*s,
          so abs(sum z_i) < c*s*sum(p_i) + K = L. Bytes are q/32 of float32: the 75 % saving that
          QuNetQFL (arXiv:2501.12709) reports at q = 8 (fedket's own reading, see spec/papers.md).
safe      w = q + ceil(log2 K), s = L/(c * max p). Then s*abs(v_i) <= L*p_i/max p <= L, an integer,
          so rounding cannot pass it: abs(z_i) <= L and abs(sum z_i) <= K*L <= 2^(w-q)*L < 2^(w-1).
          The client with the largest share uses all q bits, whatever K is.

Both hold for any subset of the K clients too, so a drop-out changes nothing. Arithmetic is
float64 on the host: with q = 32 float32 could not tell neighbouring integers apart.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import jax
import numpy as np
from jaxtyping import Array, Float, Int, UInt32

from fedket.errors import ConfigError, ProtocolError
from fedket.rng import Purpose, purpose_rng
from fedket.secure.words import Integers

Modulus = Literal["headroom", "safe"]

BLOCK = 2**16
"""Values that are worked on at a time: they stay in a core's cache."""

ROTATIONS = (13, 15, 26, 6), (17, 29, 16, 24)
"""Of Threefry-2x32, in turns."""

CLIP_TOLERANCE = 1e-6
"""Excess over the clip, relative, that counts as float32 rounding and not as clipping."""


class Quantiser(NamedTuple):
    """How values become words; the same for every client of a round.

    Attributes:
        bits: Bits of a quantised value (q).
        word_bits: Bits of a word of the ring (w).
        scale: Integer steps per unit of weighted value (s); 1/scale bounds the error per value.
        clip: Largest absolute unweighted value (c).
    """

    bits: int
    word_bits: int
    scale: float
    clip: float


class Quantised(NamedTuple):
    """One client's integers.

    Attributes:
        integers: Shape (values,), within +-(2^(bits-1) - 1).
        num_clipped: Coordinates that were beyond the clip.
        clipped_whole: Whether the whole contribution was beyond a clip of its norm.
    """

    integers: Integers
    num_clipped: int
    clipped_whole: bool = False


def headroom(bits: int, clip: float, shares: Sequence[float]) -> Quantiser:
    """Return the quantiser whose words have `bits` bits, with room for the sum.

    Args:
        bits: Bits per value, 2..32.
        clip: Largest absolute unweighted value, positive.
        shares: The public share of every client in the sum; only their number matters.

    Raises:
        ConfigError: An argument is out of range, or there are too many clients for `bits`.
    """
    limit = _limit(bits, clip)
    if len(shares) >= limit:
        raise ConfigError(
            f'aggregation.bits = {bits} with modulus = "headroom" can sum at most {limit - 1} '
            f"clients, got {len(shares)}; use more bits, fewer clients per round, or "
            'modulus = "safe"'
        )
    return Quantiser(bits, bits, (limit - len(shares)) / clip, clip)


def safe(bits: int, clip: float, shares: Sequence[float]) -> Quantiser:
    """Return the quantiser whose words have `bits` + ceil(log2 clients) bits.

    Args:
        bits: Bits per value, 2..32.
        clip: Largest absolute unweighted value, positive.
        shares: The public share of every client in the sum, positive.

    Raises:
        ConfigError: An argument is out of range.
    """
    limit = _limit(bits, clip)
    return Quantiser(
        bits, word_width(bits, "safe", len(shares)), limit / (clip * max(shares)), clip
    )


QUANTISERS: dict[str, Callable[[int, float, Sequence[float]], Quantiser]] = {
    "headroom": headroom,
    "safe": safe,
}


def word_width(bits: int, modulus: Modulus, num_clients: int) -> int:
    """Return the bits of a word on the wire (w)."""
    return bits if modulus == "headroom" else bits + (num_clients - 1).bit_length()


def rounding_noise(
    seed: int, round_num: int, client_ids: Sequence[int], num_values: int
) -> UInt32[np.ndarray, "clients values"]:
    """Return the random words that decide each client's rounding.

    A client's row depends on (seed, round, client) only: it is the same drawn alone or with
    others. Public randomness, never a mask.
    """
    ids = np.asarray(client_ids, np.uint32)
    keys = _threefry(_round_key(seed, round_num), ids)  # as `jax.random.fold_in` has them
    words = np.empty((len(ids), num_values), np.uint32)
    together = max(1, BLOCK // max(1, num_values))
    for row in range(0, len(ids), together):
        rows = slice(row, row + together)
        first, second = (half[rows, None] for half in keys)
        for start in range(0, num_values, BLOCK):
            part = words[rows, start : start + BLOCK]
            counts = np.arange(start, start + part.shape[1], dtype=np.uint32)
            np.bitwise_xor(*_threefry((first, second), counts), out=part)
    return words


@lru_cache(maxsize=2)
def rounding_noise_of_round(
    seed: int, round_num: int, client_ids: tuple[int, ...], num_values: int
) -> UInt32[np.ndarray, "clients values"]:
    """The same, kept: a simulation asks for one row after the other."""
    words = rounding_noise(seed, round_num, client_ids, num_values)
    words.flags.writeable = False
    return words


Halves = tuple[UInt32[np.ndarray, "..."], UInt32[np.ndarray, "..."]]


def _threefry(key: Halves, counts: UInt32[np.ndarray, "..."]) -> Halves:
    """Threefry-2x32 with 20 rounds, of counts below 2^32.

    Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3". `jax.random.bits` are one
    half exclusive or the other. In blocks that stay in the cache this takes a third of JAX's time
    on a CPU, and few numbers do not wait for JAX.
    """
    first, second = key
    keys = first, second, first ^ second ^ np.uint32(0x1BD11BDA)
    right = counts + second
    left, shifted = np.zeros_like(right) + first, np.empty_like(right)
    for group in range(5):
        for distance in ROTATIONS[group % 2]:
            left += right
            np.left_shift(right, np.uint32(distance), out=shifted)
            np.right_shift(right, np.uint32(32 - distance), out=right)
            right |= shifted
            right ^= left
        left += keys[(group + 1) % 3]
        right += keys[(group + 2) % 3]
        right += np.uint32(group + 1)
    return left, right


def quantise(
    quantiser: Quantiser,
    values: Float[np.ndarray, " values"],
    weight: float,
    noise: UInt32[np.ndarray, " values"],
) -> Quantised:
    """Turn one client's weighted values into integers, rounding stochastically.

    Unbiased to 2^-32 of a step, and less than one step (1/scale) from the clipped value.

    Args:
        quantiser: From `headroom` or `safe`.
        values: Weighted updates p_i * delta_i, float32 or float64.
        weight: The client's share p_i.
        noise: The client's row of `rounding_noise`.

    Raises:
        ProtocolError: A value is NaN or infinite.
    """
    limit = min(weight * quantiser.clip * quantiser.scale, 2.0 ** (quantiser.bits - 1) - 1)
    integers, num_clipped, num_bad = np.empty(values.size, np.int64), 0, 0
    for start in range(0, values.size, BLOCK):  # doubles of a whole update would be the most memory
        block = slice(start, start + BLOCK)
        steps = values[block].astype(np.float64) * quantiser.scale
        finite = np.isfinite(steps)
        if not finite.all():
            num_bad += int(np.count_nonzero(~finite))
            continue
        num_clipped += int(np.count_nonzero(np.abs(steps) > limit * (1 + CLIP_TOLERANCE)))
        np.clip(steps, -limit, limit, out=steps)
        floor = np.floor(steps)
        integers[block] = floor
        integers[block] += noise[block] < (steps - floor) * 2.0**32
    if num_bad:
        raise ProtocolError(
            f"{num_bad} of {values.size} values of an update are NaN or infinite; leave the client "
            "out of the round"
        )
    return Quantised(integers, num_clipped)


def dequantise(quantiser: Quantiser, total: Integers) -> Float[np.ndarray, " values"]:
    """Divide a sum of integers by the scale.

    Args:
        quantiser: The one that made the integers.
        total: Their sum.

    Returns:
        float32 values; at 32 bits their own rounding (2^-24 relative) exceeds the quantiser's.
    """
    values = np.empty(total.size, np.float32)
    for start in range(0, total.size, BLOCK):
        values[start : start + BLOCK] = total[start : start + BLOCK] / quantiser.scale
    return values


def _limit(bits: int, clip: float) -> int:
    """Return 2^(bits-1) - 1, the largest integer a `bits`-bit value takes."""
    if not 2 <= bits <= 32:
        raise ConfigError(f"aggregation.bits must be in 2..32, got {bits}")
    if not (clip > 0 and math.isfinite(clip)):
        raise ConfigError(f"aggregation.clip must be positive and finite, got {clip}")
    return (1 << (bits - 1)) - 1


@lru_cache(maxsize=4)
def _round_key(seed: int, round_num: int) -> Halves:
    """What clients' keys of a round are made from."""
    first, second = np.asarray(_purpose_key(seed, round_num))
    return np.asarray(first), np.asarray(second)


@jax.jit
def _purpose_key(seed: Int[Array, ""], round_num: Int[Array, ""]) -> UInt32[Array, " 2"]:
    key = purpose_rng(jax.random.key(seed), Purpose.QUANTISE, round_num)
    return jax.random.key_data(key)
