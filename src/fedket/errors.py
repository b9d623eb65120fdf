"""Errors a user can cause. Each message says what is wrong, what arrived and what to do.

The command line turns every `FedketError` into one line on standard error and exit code 2.
"""

import unicodedata
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from fedket.traffic import PhaseCost

OUT_OF_MEMORY = "RESOURCE_EXHAUSTED"
"""What JAX's errors say where Python's are a `MemoryError`."""


def printable(text: str) -> str:
    """A text with control and direction-changing characters, surrogates too, made visible."""
    return "".join(
        "\ufffd" if unicodedata.category(c).startswith("C") and c not in "\n\t" else c for c in text
    )


def meant(wrong: str, known: Iterable[str]) -> str:
    """`; did you mean …?` with the nearest of the known names; empty if none is near."""
    near = nearest(wrong, known)
    return f"; did you mean `{near}`?" if near else ""


def nearest(wrong: str, known: Iterable[str], least: float = 0.6) -> str:
    """The known name that is most like a wrong one; empty if none is `least` of 1 like it."""
    return next(iter(get_close_matches(wrong, list(known), n=1, cutoff=least)), "")


class FedketError(Exception):
    """Base of all errors that are the input's fault, not the program's."""


class ConfigError(FedketError):
    """A configuration field is unknown, mistyped or out of range."""


def check_known(what: str, name: object, known: Iterable[str]) -> None:
    """Raise `ConfigError` with the nearest name unless it is a known one."""
    names = list(known)
    if name not in names:
        raise ConfigError(
            f"unknown {what} `{name}`{meant(str(name), names)} (known: {', '.join(names)})"
        )


class UserCodeError(FedketError):
    """A kind that a user wrote fails; the message names file and line."""


class DataError(FedketError):
    """A data file is missing, damaged, or does not hold what was asked for."""


class PartitionError(FedketError):
    """The samples cannot be dealt to the clients as asked."""


class CircuitError(FedketError):
    """A circuit is malformed, or too large for the memory at hand."""


class CheckpointError(FedketError):
    """A checkpoint or run directory is damaged or belongs to another experiment."""


class TrainingError(FedketError):
    """A run cannot go on: a round failed, or too many were lost."""


class ProcessLostError(TrainingError):
    """Another process of the same run ended, or cannot be reached any more."""


class RunStoppedError(FedketError):
    """An operator stopped a deployed run; it can be resumed."""


class BudgetSpentError(TrainingError):
    """A round would cost more privacy than may be spent; the rounds before it are saved."""


class RoundStoppedError(TrainingError):
    """Process 0 gave a round up, and says why itself."""


class ProtocolError(FedketError):
    """A message breaks the secure aggregation protocol."""


class RoundLostError(ProtocolError):
    """A round is over without a sum; the next one may have one.

    Args:
        message: What is wrong, and what to do.
        reasons: Client -> why it did not do its part; clients that did theirs are not in it.

    Attributes:
        phases: What the round had cost by then, phase by phase.
    """

    def __init__(self, message: str, reasons: Mapping[int, str]) -> None:
        super().__init__(message, reasons)
        self.reasons = reasons
        self.phases: tuple[PhaseCost, ...] = ()

    def __str__(self) -> str:
        return str(self.args[0])


class KeyMaterialError(FedketError):
    """Base of errors about key material."""


class KeyReusedError(KeyMaterialError):
    """Key material was asked for a second time."""


class KeyExhaustedError(KeyMaterialError):
    """A key source has less key than was asked for."""
