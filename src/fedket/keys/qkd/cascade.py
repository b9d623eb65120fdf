"""Cascade: two ends correct the differences of their raw bits by comparing parities in public.

Brassard and Salvail (1994), with the block sizes and the reuse of known parities of
Martinez-Mateo et al., "Demystifying the information reconciliation protocol Cascade" (2015). Bits
are cut into frames. Pass 0 compares parities of blocks of about 1/e bits, pass 1 of 4/e shuffled
bits, later passes of half frames in ever new shuffles. A block whose parities differ is halved
until the wrong bit is found; each corrected bit makes blocks of other passes odd, and those are
searched next. When some passes found nothing, 32 parities of random subsets are compared.

A pass is a binary tree over its shuffled frame: node 1 is the whole frame, node i has the children
2i and 2i+1, leaves are the bits. Everything is done for all odd blocks of a pass at once.

Disclosed bits are counted as what Alice says about her bits; what Bob asks and answers depends on
the errors and her answers. That this costs no more is customary, and proven where announcing the
error pattern changes nothing in the key rate (Tupkary and Lütkenhaus, arXiv:2307.00576); we have
no proof of our own for the bounds used here.
"""

import itertools
from math import ceil, log2
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int32, Int64, UInt8, UInt64

from fedket.keys.qkd.conversation import Conversation, ConversationError

Bits = UInt8[np.ndarray, " _"]
Tree = UInt8[np.ndarray, " _"]
Nodes = Int64[np.ndarray, " _"]

FRAME_BITS = 2**18
QUIET_PASSES = 4
MAX_PASSES = 64
SMALLEST_FRAME = 2**12
NUM_CHECKS = 32
"""Parities of random subsets by which the ends compare a frame: misses errors with 2^-32."""


class Reconciled(NamedTuple):
    """What error correction leaves.

    Attributes:
        bits: Bob's bits, corrected, shape (bits,).
        disclosed: Bits that Alice disclosed.
        corrected: Bits that Bob flipped.
        complete: Whether every frame passed its check.
    """

    bits: Bits
    disclosed: int
    corrected: int
    complete: bool


class Shuffle(NamedTuple):
    """A permutation of a frame.

    Attributes:
        order: Place in the shuffled frame -> bit, shape (bits,).
        place: Bit -> place in the shuffled frame, shape (bits,).
    """

    order: Int32[np.ndarray, " bits"]
    place: Int32[np.ndarray, " bits"]


class Shuffles:
    """All shuffles of frames of one size; made when first needed, the same at both ends.

    They are no secret, but are announced only after the raw bits are fixed.
    """

    def __init__(self, num_bits: int, seed: int) -> None:
        self._rng = np.random.default_rng([seed, num_bits])
        words = max(1, num_bits // 64)
        self.subsets: UInt64[np.ndarray, "checks words"] = self._rng.integers(
            0, 2**64, (NUM_CHECKS, words), dtype=np.uint64
        )
        identity = np.arange(num_bits, dtype=np.int32)
        self._made = [Shuffle(identity, identity)]

    def __getitem__(self, pass_num: int) -> Shuffle:
        """Return the shuffle of a pass; pass 0 leaves the frame as it is."""
        while len(self._made) <= pass_num:
            order = self._rng.permutation(self._made[0].order)
            place = np.empty_like(order)
            place[order] = self._made[0].order
            self._made.append(Shuffle(order, place))
        return self._made[pass_num]


def reconcile(
    alice: UInt8[np.ndarray, " bits"],
    bob: UInt8[np.ndarray, " bits"],
    error_rate: float,
    seed: int,
    conversation: Conversation,
) -> Reconciled:
    """Correct Bob's bits to Alice's.

    Args:
        alice: Alice's raw bits, 0 or 1, shape (bits,); used only to answer.
        bob: Bob's raw bits, shape (bits,).
        error_rate: Estimate of the share that differs; a wrong one only costs disclosed bits.
        seed: Public seed of the shuffles, from Alice, drawn after the raw bits are fixed.
        conversation: Where the ends speak.

    Raises:
        ConversationError: A message was altered beyond understanding.
    """
    shuffles: dict[int, Shuffles] = {}
    frames, start = [], 0
    for size in frame_sizes(len(alice)):
        if size not in shuffles:
            shuffles[size] = Shuffles(size, seed)
        a, b = (_padded(bits[start : start + size], size) for bits in (alice, bob))
        answerer = _Alice(a, shuffles[size], conversation)
        frames.append(_Bob(b, shuffles[size], answerer).correct(error_rate))
        start += size
    bits = np.concatenate([f.bits for f in frames]) if frames else bob
    return Reconciled(
        bits[: len(bob)],
        sum(f.disclosed for f in frames),
        sum(f.corrected for f in frames),
        all(f.complete for f in frames),
    )


def frame_sizes(num_bits: int) -> list[int]:
    """Cut bits into frames of powers of two; the last may reach beyond and is padded with zeros."""
    sizes = [FRAME_BITS] * (num_bits // FRAME_BITS)
    rest = num_bits % FRAME_BITS
    while rest > 0:
        size = 2 ** (rest.bit_length() - 1)
        if size < SMALLEST_FRAME:
            size = max(64, 2 ** ceil(log2(rest)))
        sizes.append(size)
        rest -= size
    return sizes


class _Alice:
    """Alice's end: announces parities of her shuffled bits and counts them."""

    def __init__(self, bits: Bits, shuffles: Shuffles, conversation: Conversation) -> None:
        self._bits, self._shuffles, self._conversation = bits, shuffles, conversation
        self._trees: list[Tree] = []
        self.disclosed = 0

    def open_pass(self, top: int) -> Bits:
        """Announce the parities of the `top` blocks of the next pass, but those that follow.

        From pass 1 on the last block follows from the others and the frame's parity.
        """
        self._trees.append(_parities(self._bits[self._shuffles[len(self._trees)].order]))
        last = top if len(self._trees) == 1 else top - 1
        return self._announce(self._trees[-1][top : top + last])

    def answer(self, pass_num: int, nodes: Nodes) -> Bits:
        """Announce the parities of the nodes that Bob asks for."""
        question = np.concatenate([[pass_num], nodes]).astype(np.int32)
        heard = np.frombuffer(self._conversation.say("bob", question.tobytes()), np.int32)
        if heard[0] not in range(len(self._trees)) or not np.all(
            (heard[1:] > 0) & (heard[1:] < 2 * len(self._bits))
        ):
            raise ConversationError("there is no such block")
        return self._announce(self._trees[heard[0]][heard[1:]])

    def check(self) -> Bits:
        """Announce the parities of the random subsets."""
        return self._announce(_subset_parities(self._bits, self._shuffles))

    def told(self, *, equal: bool) -> None:
        """Hear from Bob whether the check succeeded."""
        self._conversation.say("bob", bytes([equal]))

    def _announce(self, parities: Bits) -> Bits:
        self.disclosed += len(parities)
        heard = self._conversation.say("alice", np.packbits(parities).tobytes())
        return np.unpackbits(np.frombuffer(heard, np.uint8), count=len(parities))


class _Pass(NamedTuple):
    """What Bob knows of a pass.

    Attributes:
        heard: Alice's parities, where known.
        own: His parities now.
        known: Which nodes of `heard` are known; with a node all nodes above it up to the blocks.
        depth: Levels from the blocks to the bits.
    """

    heard: Tree
    own: Tree
    known: Bool[np.ndarray, " _"]
    depth: int


class _Bob:
    """Bob's end: searches for his errors in one frame."""

    def __init__(self, bits: Bits, shuffles: Shuffles, alice: _Alice) -> None:
        self._bits, self._shuffles, self._alice = bits.copy(), shuffles, alice
        self._passes: list[_Pass] = []
        self._suspects: list[Nodes] = []
        """For each pass nodes without known children that may be odd."""
        self._corrected = 0

    def correct(self, error_rate: float) -> Reconciled:
        """Run passes until the check succeeds."""
        quiet = 0
        for depth in itertools.islice(_depths(len(self._bits), error_rate), MAX_PASSES):
            before = self._corrected
            self._open_pass(depth)
            self._settle()
            quiet = quiet + 1 if self._corrected == before else 0
            if quiet >= QUIET_PASSES and self._check():
                return self._result(complete=True)
        return self._result(complete=False)

    def _result(self, *, complete: bool) -> Reconciled:
        return Reconciled(self._bits, self._alice.disclosed, self._corrected, complete)

    def _check(self) -> bool:
        parities = self._alice.check()
        equal = bool(np.array_equal(parities, _subset_parities(self._bits, self._shuffles)))
        self._alice.told(equal=equal)
        return equal

    def _open_pass(self, depth: int) -> None:
        """Hear the parities of the next pass's blocks."""
        size, num = len(self._bits), len(self._passes)
        top = size >> depth
        own = _parities(self._bits[self._shuffles[num].order])
        heard, known = np.zeros_like(own), np.zeros(len(own), bool)
        parities = self._alice.open_pass(top)
        heard[top : top + len(parities)] = parities
        if num > 0:
            first = self._passes[0]
            first_top = size >> first.depth
            whole = np.bitwise_xor.reduce(first.heard[first_top : 2 * first_top])
            heard[2 * top - 1] = whole ^ np.bitwise_xor.reduce(parities)
        known[top : 2 * top] = True
        self._passes.append(_Pass(heard, own, known, depth))
        self._suspects.append(np.arange(top, 2 * top))

    def _settle(self) -> None:
        """Search odd blocks, those of the first passes (the smallest) first, until none is odd."""
        while True:
            for num, state in enumerate(self._passes):
                nodes = self._suspects[num]
                odd = nodes[state.heard[nodes] != state.own[nodes]]
                self._suspects[num] = odd[:0]
                if len(odd):
                    self._flip(self._shuffles[num].order[self._search(num, odd)])
                    break
            else:
                return

    def _search(self, num: int, nodes: Nodes) -> Nodes:
        """Find one wrong bit below each odd node; returns their places in the shuffled frame."""
        heard, own, known, _ = self._passes[num]
        size, found = len(self._bits), []
        while len(nodes):
            found.append(nodes[nodes >= size])
            nodes = nodes[nodes < size]
            left = 2 * nodes
            new = ~known[left]
            asked = left[new]
            if len(asked):
                heard[asked] = self._alice.answer(num, asked)
                heard[asked + 1] = heard[nodes[new]] ^ heard[asked]
                known[asked] = known[asked + 1] = True
            nodes = left + (heard[left] == own[left])
        return np.concatenate(found) - size

    def _flip(self, bits: Int32[np.ndarray, " _"]) -> None:
        """Correct bits, and note every block whose parity that changes."""
        self._bits[bits] ^= 1
        self._corrected += len(bits)
        if self._corrected > len(self._bits):
            raise ConversationError("the parities contradict each other")
        for num, state in enumerate(self._passes):
            node = self._shuffles[num].place[bits].astype(np.int64) + len(self._bits)
            lowest = node
            for _ in range(state.depth):
                np.bitwise_xor.at(state.own, node, 1)
                node = node >> 1
                lowest = np.where(state.known[lowest], lowest, node)
            np.bitwise_xor.at(state.own, node, 1)
            self._suspects[num] = np.unique(np.concatenate([self._suspects[num], lowest]))


def _depths(num_bits: int, error_rate: float) -> "itertools.chain[int]":
    """Return log2 of the block sizes of the passes."""
    most = num_bits.bit_length() - 2
    rate = min(0.5, max(error_rate, 1 / num_bits))
    first = min(most, ceil(log2(1 / rate)))
    return itertools.chain([first, min(most, first + 2)], itertools.repeat(most))


def _parities(bits: Bits) -> Tree:
    """Return the tree of parities: entry i is the parity of node i, entry 0 is unused."""
    size = len(bits)
    tree = np.zeros(2 * size, np.uint8)
    tree[size:] = bits
    while size > 1:
        np.bitwise_xor(
            tree[size : 2 * size : 2], tree[size + 1 : 2 * size : 2], out=tree[size // 2 : size]
        )
        size //= 2
    return tree


def _subset_parities(bits: Bits, shuffles: Shuffles) -> Bits:
    words = np.packbits(bits).view(np.uint64)
    mixed = np.bitwise_xor.reduce(shuffles.subsets & words, axis=1)
    return np.asarray(np.bitwise_count(mixed) & 1, np.uint8)


def _padded(bits: Bits, size: int) -> Bits:
    """Append zeros, known to everybody."""
    return np.pad(bits, (0, size - len(bits))) if len(bits) < size else bits
