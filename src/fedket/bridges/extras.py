"""Packages that fedket needs only for what few ask for: other languages, accountants."""

from collections.abc import Iterator
from contextlib import contextmanager

from fedket.errors import ConfigError


@contextmanager
def needs_extra(extra: str) -> Iterator[None]:
    """Say how to install what an import does not find."""
    try:
        yield
    except ModuleNotFoundError as error:
        if str(error.name).partition(".")[0] == "fedket":
            raise
        raise ConfigError(
            f"this needs the package `{error.name}`: pip install 'fedket[{extra}]'"
        ) from None
