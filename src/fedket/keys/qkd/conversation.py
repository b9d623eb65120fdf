"""What the two ends of a link say in public while they distil a key, authenticated at the end.

Each direction has a one-time Poly1305 key (32 bytes). Both ends run the MAC over everything they
sent or received in that direction; before a key is released the tags must agree. One tag covers a
whole block, so a block costs 512 bits of key for authentication however much is said, and a forgery
over L bytes succeeds with probability at most 8*ceil(L/16) / 2^106. A message altered on the way
can waste the block, never let a wrong or known key pass.
"""

import hmac
import struct
from collections.abc import Callable
from typing import Literal

from fedket.keys.material import KeyMaterial

End = Literal["alice", "bob"]

Wire = Callable[[End, bytes], bytes]
"""(sender, message) -> what arrives, of the same length: an attacker on the public channel."""

MAC_KEY_BYTES = 32


class ConversationError(Exception):
    """A message makes no sense: it was altered, and the block is given up."""


def honest_wire(_sender: End, message: bytes) -> bytes:
    """Deliver messages as they are."""
    return message


class Conversation:
    """A public, authenticated exchange about one block; holds running MACs, no messages."""

    def __init__(
        self, from_alice: KeyMaterial, from_bob: KeyMaterial, wire: Wire = honest_wire
    ) -> None:
        """Start a conversation.

        Args:
            from_alice: 32 bytes, never used before, for what Alice says.
            from_bob: 32 bytes, never used before, for what Bob says.
            wire: The public channel.
        """
        from cryptography.hazmat.primitives.poly1305 import Poly1305

        keys = {"alice": from_alice.reveal(), "bob": from_bob.reveal()}
        self._sent = {end: Poly1305(key) for end, key in keys.items()}
        self._received = {end: Poly1305(key) for end, key in keys.items()}
        self._wire = wire

    def say(self, sender: End, message: bytes) -> bytes:
        """Send a message; returns what the other end receives.

        Raises:
            ConversationError: Its length changed on the way.
        """
        arrived = self._wire(sender, message)
        if len(arrived) != len(message):
            raise ConversationError("a message changed its length")
        for mac, text in ((self._sent[sender], message), (self._received[sender], arrived)):
            mac.update(struct.pack("<q", len(text)))
            mac.update(text)
        return arrived

    def tags_agree(self) -> bool:
        """End the conversation: whether each end received what the other sent."""
        agree = [
            hmac.compare_digest(self._sent[end].finalize(), self._received[end].finalize())
            for end in ("alice", "bob")
        ]
        return all(agree)


def one_time_tag(key: KeyMaterial, message: bytes) -> bytes:
    """Return the Poly1305 tag of one message.

    Under a one-time key it says nothing about the message, so a tag over the corrected bits
    verifies them without leaking; two different strings of L bytes get the same tag with
    probability at most 8*ceil(L/16) / 2^106.
    """
    from cryptography.hazmat.primitives.poly1305 import Poly1305

    return Poly1305.generate_tag(key.reveal(), message)
