"""The files of a run directory, as `docs/run-directory.md` fixes them, and how they are checked.

Types are strict; fields that a later version adds are ignored. Accuracies are fractions in 0..1,
losses may be NaN or infinite: a run that diverged is still a run.
"""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from fedket.errors import CheckpointError

Count = Annotated[int, Field(ge=0, lt=2**63)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _FileContent(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class Dropped(_FileContent):
    """An update that was left out of a round."""

    client: Count
    reason: str


class Phase(_FileContent):
    """What one phase of an aggregation cost, all clients together."""

    name: str
    upload_bytes: Count
    download_bytes: Count
    pad_bits: Count
    mac_bits: Count
    seconds: Seconds


class RoundLine(_FileContent):
    """One line of `rounds.jsonl`."""

    round: Count
    cohort: list[Count]
    dropped: list[Dropped]
    train_loss: float | None
    test_loss: float | None
    test_accuracy: Fraction | None
    client_accuracy: list[Fraction] | None
    seconds: Seconds
    upload_bytes: Count
    download_bytes: Count
    key_bits: Count
    key_source: str
    phases: list[Phase] = []
    starvation: str = ""
    key_wait_s: Seconds = 0.0
    key_levels: dict[str, Count] = {}
    metrics: dict[str, float] = {}


class Totals(_FileContent):
    """The whole run in numbers: `summary.json`, or its like summed over the rounds so far."""

    status: Literal["finished", "interrupted", "unfinished"]
    rounds: Count
    test_accuracy: Fraction | None
    test_loss: float | None
    best_test_accuracy: Fraction | None
    seconds: Seconds
    upload_bytes: Count
    download_bytes: Count
    key_bits: Count
    dropped_updates: Count
    parameters_sha256: str


class ModelCard(_FileContent):
    """What was trained and on what: `model.json`."""

    parameters: Count
    qubits: Count
    upload_bytes_per_client: Count
    key_bits_per_pair: Count
    key_feed: dict[str, Any] | None = None
    num_train: Count
    num_test: Count
    num_classes: Annotated[int, Field(ge=1)]
    label_counts: list[list[Count]]
    measured: dict[str, float] = {}


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


def read(path: Path) -> bytes:
    """The bytes of a file; `CheckpointError` if there are none to be had."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise unreadable(path, error) from None


def parse(kind: Any, path: Path) -> Any:
    """A JSON file checked against a type or pydantic model."""
    try:
        return TypeAdapter(kind).validate_json(read(path), strict=True)
    except ValidationError as error:
        raise damaged(path, first_problem(error)) from None


def first_problem(error: ValidationError) -> str:
    """Where and what, in one line."""
    problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    message = " ".join(problem["msg"].split())
    return f"`{place}`: {message}" if place else message


def is_json_object(text: bytes) -> bool:
    """Whether a line was written to its end."""
    try:
        TypeAdapter(dict[str, Any]).validate_json(text)
    except ValidationError:
        return False
    return True
