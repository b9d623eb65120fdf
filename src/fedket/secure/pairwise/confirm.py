"""Protocol A: what neighbours confirm to each other before anything is uploaded.

Every member tags, for each neighbour among the members, what it was shown at the beginning of the
round, the list of members, and where the key begins that it has set aside of the neighbour's
stream; the server passes the tags on. A client uploads only if all its neighbours were told the
same. Honest members are connected in the graph, except with the probability in `graph`, so a
difference between any two is one between two honest neighbours.

The tag of a neighbour takes the first 32 bytes of the stream from it.
"""

from collections.abc import Mapping
from typing import NamedTuple

from fedket.errors import ProtocolError
from fedket.secure.begun import STATEMENT_BYTES, difference
from fedket.secure.client_steps import refusal
from fedket.secure.mac import MAC_KEY_BYTES, TAG_BYTES, Header, check_tag, encode, make_tag
from fedket.secure.phases import Payload, octets
from fedket.types import KeySource, Stream


class Own(NamedTuple):
    """What a client knows by itself, not from its protocol's messages.

    Attributes:
        run_id: Name of the run.
        stated: What it says of the round's beginning, `fedket.secure.begun`.
    """

    run_id: str = ""
    stated: bytes = bytes(STATEMENT_BYTES)


UNTOLD = Own()
"""A client that was shown nothing."""


class Confirmation(NamedTuple):
    """What a client confirms.

    Attributes:
        own: What it was shown.
        round_num: Round.
        peers: Its neighbours among the members, ascending.
        members: Whose sum is to be formed.
    """

    own: Own
    round_num: int
    peers: tuple[int, ...]
    members: tuple[int, ...]

    def tags(self, keys: KeySource, me: int, offsets: Mapping[Stream, int]) -> bytes:
        """Return a tag for every neighbour, in their order.

        Args:
            keys: The client's ends of its links.
            me: The client.
            offsets: Where the round begins in its streams.
        """
        streams = [(me, peer) for peer in self.peers]
        return b"".join(
            make_tag(
                keys.spend(self.round_num, me, s, 0, MAC_KEY_BYTES),
                self._header(s, offsets),
                self._said(self.own.stated, offsets[s[::-1]]),
            )
            for s in streams
        )

    def check(
        self, keys: KeySource, me: int, offsets: Mapping[Stream, int], payload: Payload
    ) -> None:
        """Check what all neighbours confirmed; arguments as of `tags`.

        Raises:
            ProtocolError: One was told something else, or its message does not arrive.
        """
        stated, tags = octets(payload, "stated"), octets(payload, "tags")
        if (len(stated), len(tags)) != (
            STATEMENT_BYTES * len(self.peers),
            TAG_BYTES * len(self.peers),
        ):
            raise refusal(me, self.round_num, f"no confirmation of all of {list(self.peers)}")
        for k, peer in enumerate(self.peers):
            said = stated[k * STATEMENT_BYTES :][:STATEMENT_BYTES]
            stream = (peer, me)
            key = keys.spend(self.round_num, me, stream, 0, MAC_KEY_BYTES)
            tag = tags[k * TAG_BYTES :][:TAG_BYTES]
            try:
                check_tag(
                    key,
                    self._header(stream, offsets),
                    self._said(said, offsets[me, peer]),
                    tag,
                )
            except ProtocolError:
                raise refusal(
                    me,
                    self.round_num,
                    f"client {peer} does not confirm under its MAC that the sum is over "
                    f"{list(self.members)}; the server may have told it something else",
                ) from None
            if said != self.own.stated:
                lie = difference(self.own.stated, said)
                raise refusal(me, self.round_num, f"client {peer} was shown {lie}; the server lied")

    def _said(self, stated: bytes, accepted: int) -> bytes:
        return encode(self.members, stated, accepted)

    def _header(self, stream: Stream, offsets: Mapping[Stream, int]) -> Header:
        return Header(self.own.run_id, "confirm", self.round_num, *stream, offsets[stream])
