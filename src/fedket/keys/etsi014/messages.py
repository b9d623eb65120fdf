"""The four messages of the key agreement, as JSON between the two ends of a link.

What they mean is in `fedket.keys.etsi014.agreement`. They name keys and hold none.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from fedket.keys.etsi014.errors import AgreementError
from fedket.keys.etsi014.models import Bits, KeyId
from fedket.types import Stream

KeyIdList = Annotated[tuple[KeyId, ...], Field(max_length=65536)]


class BatchMessage(BaseModel):
    """Base of all four: which batch it is about."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    session: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    stream: Stream
    batch_num: Annotated[int, Field(ge=1, lt=2**63)]
    key_ids: KeyIdList


class Announce(BatchMessage):
    """Master: I fetched these keys, fetch them too."""

    kind: Literal["announce"] = "announce"
    size_bits: Bits


class Confirm(BatchMessage):
    """Slave: I hold these; `problem` says why not all, in one line."""

    kind: Literal["confirm"] = "confirm"
    problem: Annotated[str, Field(max_length=1000)] = ""


class Commit(BatchMessage):
    """Master: deposit these, in this order."""

    kind: Literal["commit"] = "commit"


class Done(BatchMessage):
    """Slave: I deposited these; none if I had nothing to deposit and never shall."""

    kind: Literal["done"] = "done"


Message = Annotated[Announce | Confirm | Commit | Done, Field(discriminator="kind")]
_MESSAGES: TypeAdapter[Announce | Confirm | Commit | Done] = TypeAdapter(Message)


def read_message(content: bytes | str) -> Announce | Confirm | Commit | Done:
    """Read a message that `message.model_dump_json()` wrote.

    Raises:
        AgreementError: It is malformed.
    """
    try:
        return _MESSAGES.validate_json(content)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False, include_context=False)[0]
        field = ".".join(str(part) for part in problem["loc"]) or "the message"
        raise AgreementError(
            f"a message of the key agreement is malformed at `{field}` ({problem['type']}); run "
            "the same version at both ends"
        ) from None
