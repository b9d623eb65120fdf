"""Code that users bring in files of their own: loaded once, and named when it fails."""

import hashlib
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from types import ModuleType
from typing import Any

from fedket.errors import ConfigError, FedketError, UserCodeError

USER_MODULES = "fedket_user_"
"""How the names of modules begin that were loaded from users' files."""


def load_from_file(group: str, name: str, folder: Path) -> Any:
    """What `FILE.py:NAME` stands for.

    Args:
        group: What kind of thing it is, for messages.
        name: `FILE.py:NAME`, the file beside the experiment's or in a folder below it.
        folder: Where the experiment's file lies.

    Raises:
        ConfigError: There is no such file or name.
        UserCodeError: The file fails.
    """
    written, _, attribute = name.rpartition(":")
    inside = PurePosixPath(written)
    if inside.is_absolute() or ".." in inside.parts:
        raise ConfigError(
            f"{group} `{name}` leaves the experiment's folder; put the file beside the experiment"
        )
    path = folder / inside
    module = _load(path, f"{group} `{name}`")
    try:
        return getattr(module, attribute)
    except AttributeError:
        own = [
            n for n, v in vars(module).items() if getattr(v, "__module__", "") == module.__name__
        ]
        raise ConfigError(
            f"{path} defines no `{attribute}`; it defines {', '.join(own) or 'nothing'}"
        ) from None


@contextmanager
def naming_users_lines() -> Iterator[None]:
    """Turn what fails in a user's file into one line that names it; our own errors stay."""
    try:
        yield
    except FedketError:
        raise
    except Exception as error:
        if (known := in_user_code(error)) is None:
            raise
        raise known from error


def in_user_code(error: BaseException) -> UserCodeError | None:
    """An error that came up in a user's file as one line that names it, else None."""
    place, said = _user_line(error), " ".join(str(error).split())
    if not place:
        return None
    return UserCodeError(f"{place}: {type(error).__name__}{said and f': {said}'}")


def _user_line(error: BaseException) -> str:
    """`FILE, line N` of the last step of an error in a user's file; empty if there is none."""
    place, trace = "", error.__traceback__
    while trace is not None:
        frame = trace.tb_frame
        if str(frame.f_globals.get("__name__", "")).startswith(USER_MODULES):
            place = f"{frame.f_code.co_filename}, line {trace.tb_lineno}"
        trace = trace.tb_next
    return place


def _load(path: Path, what: str) -> ModuleType:
    """The module of a user's file; the same file with the same content is loaded once."""
    try:
        source = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{what}: {path} is not a readable file ({error.strerror})") from None
    digest = hashlib.sha256(str(path.resolve()).encode() + b"\0" + source).hexdigest()
    name = f"{USER_MODULES}{path.stem}_{digest[:16]}"
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"{what}: {path} is not a Python file")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        with naming_users_lines():
            spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, SyntaxError):
            raise UserCodeError(f"{path}, line {error.lineno}: {error.msg}") from None
        raise
    return module
