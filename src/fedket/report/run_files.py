"""What the JSON files of a run directory hold, as `docs/run-directory.md` fixes it.

Types are strict; fields that a later version adds are ignored. Accuracies are fractions in 0..1,
losses may be NaN or infinite: a run that diverged is still a run.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(ge=0, lt=2**63)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _FileContent(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True)


class Dropped(_FileContent):
    """An update that was left out of a round."""

    client: Count
    reason: str


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
    num_train: Count
    num_test: Count
    num_classes: Count
    label_counts: list[list[Count]]
