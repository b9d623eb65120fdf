"""Run directories: how the records of `fedket.record` get to disk and back.

Whole files are written atomically; `rounds.jsonl` grows by a line per round, so its last line may
be half written. What cannot be read is refused in one line that says why and what to do.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError
from pydantic_core import from_json

from fedket._version import __version__
from fedket.errors import CheckpointError
from fedket.files import append_line, write_atomic
from fedket.record import FORMAT, Content, RoundRecord

ROUNDS, SUMMARY, ENVIRONMENT, FACTS = (
    "rounds.jsonl",
    "summary.json",
    "environment.json",
    "model.json",
)

Kind = TypeVar("Kind", bound=Content)


def write_json(path: Path, content: Content) -> None:
    """Write a file of a run directory."""
    write_atomic(path, content.model_dump_json(indent=2) + "\n")


def append_round(directory: Path, record: RoundRecord) -> None:
    """Append one round's record and force it to disk."""
    append_line(directory / ROUNDS, record.model_dump_json())


def rewrite_rounds(directory: Path, records: list[RoundRecord]) -> None:
    """Keep only these records."""
    write_atomic(directory / ROUNDS, "".join(f"{r.model_dump_json()}\n" for r in records))


def read_json(path: Path, kind: type[Kind]) -> Kind:
    """A file of a run directory, checked.

    Raises:
        CheckpointError: It is missing, damaged, or another version's.
    """
    try:
        return kind.model_validate_json(read(path))
    except ValidationError as error:
        raise _refusal(path, error) from None


def read_rounds(directory: Path) -> Iterator[RoundRecord]:
    """The records of a run, from round 1; a half-written last line is left out.

    Raises:
        CheckpointError: A line is damaged, or another version's.
    """
    path = directory / ROUNDS
    if not path.exists():  # killed before the first round
        return
    try:
        with path.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.endswith(b"\n") and not _is_whole(line):
                    return
                yield _parse_round(path, number, line)
    except OSError as error:
        raise unreadable(path, error) from None


def _parse_round(path: Path, number: int, line: bytes) -> RoundRecord:
    try:
        record = RoundRecord.model_validate_json(line)
    except ValidationError as error:
        raise _refusal(path, error, f"line {number}: ") from None
    if record.round != number:
        raise damaged(path, f"line {number} holds round {record.round}")
    return record


def _is_whole(line: bytes) -> bool:
    """Whether a line was written to its end."""
    try:
        return isinstance(from_json(line), dict)
    except ValueError:
        return False


def check_format(directory: Path) -> None:
    """Raise `CheckpointError` naming the version of fedket that wrote another format."""
    try:
        values = from_json((directory / ENVIRONMENT).read_bytes())
    except (OSError, ValueError):
        return
    if not isinstance(values, dict):
        return
    found, version = values.get("format", 1), values.get("fedket", "of unknown version")
    if found != FORMAT:
        raise CheckpointError(
            f"`{directory}` has format {found}, written by fedket {version}; this fedket "
            f"({__version__}) reads format {FORMAT}: use the one that wrote it"
        )


def read(path: Path) -> bytes:
    """The bytes of a file; `CheckpointError` if there are none to be had."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from None


def damaged(path: Path, what: str) -> CheckpointError:
    """An error that names the file, the problem and the way out."""
    return CheckpointError(
        f"`{path}` is damaged: {what}; restore it from a copy, or run the experiment again"
    )


def unreadable(path: Path, error: OSError) -> CheckpointError:
    """The same for a file that cannot be opened."""
    if isinstance(error, FileNotFoundError):
        advice = "restore it from a copy, or run the experiment again"
        return CheckpointError(f"`{path}` is missing: not a whole run directory; {advice}")
    return CheckpointError(f"cannot read `{path}`: {error.strerror}; check type and permissions")


def _refusal(path: Path, error: ValidationError, place: str = "") -> CheckpointError:
    """What is wrong with a file, in one line."""
    problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return CheckpointError(
            f"`{path}`, {place}holds `{field}`, which fedket {__version__} does not know: a newer "
            "version wrote it; use that version"
        )
    message = " ".join(problem["msg"].split())
    return damaged(path, f"{place}`{field}`: {message}" if field else f"{place}{message}")
