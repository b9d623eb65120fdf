"""How the two ends of a link agree on keys although messages and answers get lost.

ETSI GS QKD 014 acknowledges nothing, so each end may hold keys that the other end never got. A
batch of keys therefore takes two messages; the master is the end that called `enc_keys`:

    master                                  slave
    Announce(key IDs, where they go)    ->  fetches exactly these with dec_keys, deposits them
                                        <-  Confirm(whether it did)
    deposits them, or gives them up

The master repeats an announcement until it is answered, before anything else; the slave answers a
repeated one as it did before, and one that it refused it refuses for good. So with messages lost,
repeated, delayed or reordered in any way, and both ends running on: the master's deposits are
always the first of the slave's, the same keys in the same order, at most one batch behind, and
equal once the batch is answered. What is not agreed, the master never deposits.

A batch goes to the offset that its announcement names, the end of the master's stream, or nowhere.
A restart of one end loses its keys that are on the way (key must not wait on disk in clear), so
that the slave may hold one batch more; then the ends stand at different offsets, and nothing is
agreed until the pad stores have connected and the one with more has withdrawn the rest. Never does
other key come to the same offset.

The messages are JSON; they name keys and hold none.
"""

from typing import Annotated, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from fedket.keys.etsi014.answers import canonical
from fedket.keys.etsi014.errors import AgreementError
from fedket.keys.etsi014.models import Bits, KeyId
from fedket.keys.store.ledger import piece_name
from fedket.types import Stream

REMEMBERED = 64
"""Answers that a slave can repeat."""

Fault = Literal["", "keys", "later", "lasting"]
"""Why a slave refused a batch: its KME does not have the keys, cannot deliver now, or will not
until somebody does something about it; empty for other reasons."""

Offset = Annotated[int, Field(ge=0, lt=2**63)]
M = TypeVar("M", bound="Message")


class Message(BaseModel):
    """Base of the messages between the two ends of a link."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)


class Announce(Message):
    """Master: I fetched these keys, which go to offset `start` of the stream; fetch them too."""

    stream: Stream
    start: Offset
    key_ids: Annotated[tuple[KeyId, ...], Field(min_length=1, max_length=65536)]
    size_bits: Bits
    per_call: Annotated[int, Field(ge=1)] = 65536
    """Keys that one call of the master brought at most."""

    @property
    def batch(self) -> str:
        """The name, the same at both ends, under which the keys are deposited as one piece."""
        return piece_name([canonical(key_id) for key_id in self.key_ids])


class Confirm(Message):
    """Slave: whether I deposited that batch; my end of the stream; in one line why not."""

    stream: Stream
    batch: KeyId
    deposited: bool
    end: Offset
    problem: Annotated[str, Field(max_length=1000)] = ""
    fault: Fault = ""


def read_message(kind: type[M], content: bytes | str) -> M:
    """Read a message that `model_dump_json` wrote.

    Raises:
        AgreementError: It is malformed, or of another kind.
    """
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(str(part) for part in problem["loc"]) or "the message"
        raise AgreementError(
            f"a message about a link is malformed at `{field}` ({problem['type']}); run "
            "the same version at both ends"
        ) from None


def check_reply(message: Announce, reply: Confirm) -> None:
    """Refuse a reply to another message.

    Raises:
        AgreementError: It is about another stream or batch.
    """
    if (reply.stream, reply.batch) != (message.stream, message.batch):
        raise AgreementError(
            f"the other end answered about batch {reply.batch[:8]} of stream {reply.stream}, "
            f"expected batch {message.batch[:8]} of stream {message.stream}; replies must go to "
            "the message they answer"
        )


class Answers:
    """A slave's memory of what it answered about one stream."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._given: dict[str, Confirm] = {}

    def known(self, message: Announce, end: int) -> Confirm | None:
        """The answer to an announcement that was answered before, or cannot be followed.

        Args:
            message: From the master.
            end: End of this end's stream.

        Raises:
            AgreementError: The message is for another stream.
        """
        if message.stream != self._stream:
            raise AgreementError(
                f"a message for stream {message.stream} came to stream {self._stream}; check the "
                "party numbers of both ends"
            )
        given = self._given.get(message.batch)
        if given is not None and given.deposited and end < given.end:
            return self.refuse(message, end, "its keys were withdrawn when the ends connected")
        if given is None and end != message.start:
            return self.refuse(
                message,
                end,
                f"stream {self._stream} ends at {message.start} there and at {end} here",
            )
        return given

    def confirm(self, message: Announce, end: int) -> Confirm:
        """Answer that the keys are deposited, up to `end`."""
        return self._give(
            Confirm(stream=self._stream, batch=message.batch, deposited=True, end=end)
        )

    def refuse(self, message: Announce, end: int, problem: str, fault: Fault = "") -> Confirm:
        """Answer that they are not, and never shall be."""
        said = " ".join(problem.split())[:1000]
        return self._give(
            Confirm(
                stream=self._stream,
                batch=message.batch,
                deposited=False,
                end=end,
                problem=said,
                fault=fault,
            )
        )

    def _give(self, answer: Confirm) -> Confirm:
        self._given.pop(answer.batch, None)
        self._given[answer.batch] = answer
        if len(self._given) > REMEMBERED:
            del self._given[next(iter(self._given))]
        return answer
