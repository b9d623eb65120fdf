"""A section of the configuration becomes what it describes, and that only."""

from typing import TypeVar

from fedket.errors import UserCodeError
from fedket.section import Context, Section
from fedket.user_code import naming_users_lines

T = TypeVar("T")


def build(section: Section, context: Context, wanted: type[T]) -> T:
    """Check that a section fits, and make what it describes.

    Args:
        section: Any kind's.
        context: What is known so far.
        wanted: The type of the result.

    Raises:
        FedketError: It does not fit.
        UserCodeError: It is a user's own, and fails or makes something else.
    """
    with naming_users_lines():
        section.check(context)
        made = section.build(context)
    if not isinstance(made, wanted):
        raise UserCodeError(
            f"`build` of {section.kind} returned a {type(made).__name__}; it should return a "
            f"{wanted.__name__}"
        )
    return made
