"""What a run leaves on disk beside its checkpoint, defined once: docs/run-directory.md in types.

Runs write it; reports, tables of papers and progress lines read it. Accuracies are fractions in
0..1. JSON has no NaN and no infinity: a number that is not finite is None. Types are strict and
unknown fields are errors, so a directory of another version of fedket is refused, never misread.
"""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
)

from fedket.traffic import PhaseCost, Traffic

FORMAT = 2
"""Of run directories; a directory that does not say has format 1."""

MUCH_CLIPPED = 0.01
"""Share of clipped coordinates from which a reader is warned."""

LOST = "the round was lost"
"""Why the update of a client that did its part in a lost round is left out."""

SIMULATED = "(simulated)"
"""How reasons end why a client is left out that only a simulation knows."""

MAX_LINKS = 64
"""Links whose key level a round records."""


def _rounded(value: Any) -> Any:
    """Six decimals of a float; None if it is not finite."""
    if not isinstance(value, float):
        return value
    return round(value, 6) if math.isfinite(value) else None


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _of_clients(values: Any) -> Any:
    """Six decimals each; None where only the clients themselves could know."""
    if hasattr(values, "tolist"):  # an array, which to import here would be slow
        values = values.tolist()
    return tuple(map(_rounded, values)) or None if isinstance(values, list) else values


Count = Annotated[int, Field(ge=0, lt=2**63)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Seconds = Annotated[float, BeforeValidator(_rounded), Field(ge=0, allow_inf_nan=False)]
Rounded = Annotated[float | None, BeforeValidator(_rounded)]
Share = Annotated[Fraction | None, BeforeValidator(_rounded)]
Number = Annotated[float | None, BeforeValidator(_finite)]


class Content(BaseModel):
    """Base of what a run directory holds as JSON."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class LayerGradient(Content):
    """Gradient of the global model with respect to one layer's parameters.

    Attributes:
        norm: Its Euclidean norm.
        variance: Of its entries.
    """

    norm: Number
    variance: Number


class ClientDrift(Content):
    """A client's update beside the mean update.

    Attributes:
        norm: Its Euclidean norm.
        cosine: Of the angle between both.
    """

    norm: Number
    cosine: Number


class CalibrationBin(Content):
    """Samples whose predictions are about as sure: how many, how sure, and how often right."""

    samples: Count
    confidence: Annotated[Fraction, BeforeValidator(_rounded)]
    accuracy: Annotated[Fraction, BeforeValidator(_rounded)]


class Quality(Content):
    """What predictions on a set of samples are worth; `fedket.federated.metrics` defines each.

    Attributes:
        macro_f1: Mean F1 over classes.
        auc: Area under the ROC curve; None unless there are two classes, with samples of both.
        ece: Expected calibration error.
        confusion: Samples by class (row) and predicted class (column); empty for very many classes.
        calibration: Reliability diagram: the bins that hold samples, from the least sure.
        mse: Of a regression, the mean squared error.
        r2: Of a regression, the coefficient of determination.
    """

    macro_f1: Share = None
    auc: Share = None
    ece: Share = None
    confusion: tuple[tuple[Count, ...], ...] = ()
    calibration: tuple[CalibrationBin, ...] = ()
    mse: Rounded = None
    r2: Rounded = None


class RoundRecord(Content):
    """One round, a line of `rounds.jsonl`; docs/run-directory.md gives units.

    Attributes:
        round: From 1.
        cohort: Clients that were to take part, those left out included.
        dropped: Client -> why its update is not in the sum.
        lost: Why no sum could be opened, so that the model stayed as it was; empty if one was.
        simulated_s: Seconds that the round takes under `[conditions]`; None without.
        staleness: Client -> by how many rounds the model was old that it trained, if asynchronous.
        train_loss: Mean local training loss, weighted by samples; None if the round was lost.
        test_loss: Of the global model; None without evaluation, or if it is not finite.
        test_accuracy: Of the global model; None without evaluation.
        validation_loss: The same on the validation split; None without one.
        validation_accuracy: Likewise.
        quality: What its predictions on the test set are worth beyond that; None likewise.
        client_accuracy: Accuracy on clients' own samples: of each client of the cohort, in its
            order, or of all clients in theirs. None for a client without samples.
        clipped: Coordinates of updates that were beyond the clip, over all clients; None where each
            client keeps its own count.
        clipped_share: The same as a share of all coordinates that clients sent.
        clipped_updates: Updates that were longer than `privacy.clip` and were scaled down to it;
            None without it, or where each client keeps that to itself.
        epsilon: ε of the client that has taken part most, this round included; None without
            `[privacy]`, or without noise.
        phases: Cost of the aggregation by phase.
        starvation: What was given up for want of key, in words.
        key_levels: Link -> key bits in store after the round.
        consensus_distance: Without a centre: root mean square distance of clients' models from
            their mean, which is then the global model; None with a server.
        own_accuracy: Without a centre: test accuracy of clients' own models, of those whom
            `client_accuracy` names; None without evaluation.
        metrics: What the strategy reports, by name.
        gradients: Layer -> gradient of the mean test loss there; empty unless asked for.
        drift: Client -> its update beside the mean update; empty unless asked for.
        device_jobs: Ids of the jobs on a device that the model's circuit ran on, in order.
    """

    round: Count
    cohort: tuple[Count, ...]
    dropped: Mapping[Count, str] = {}
    lost: str = ""
    train_loss: Number
    test_loss: Rounded = None
    test_accuracy: Share = None
    validation_loss: Rounded = None
    validation_accuracy: Share = None
    quality: Quality | None = None
    client_accuracy: Annotated[tuple[Fraction | None, ...] | None, BeforeValidator(_of_clients)] = (
        None
    )
    seconds: Seconds
    simulated_s: Seconds | None = None
    staleness: Mapping[Count, Count] = {}
    upload_bytes: Count
    download_bytes: Count
    clipped: Count | None = None
    clipped_share: Share = None
    clipped_updates: Count | None = None
    epsilon: Number = None
    key_bits: Count
    key_wait_s: Seconds = 0.0
    key_levels: Mapping[str, Count] = {}
    starvation: str = ""
    phases: tuple[Annotated[PhaseCost, PlainSerializer(PhaseCost._asdict)], ...] = ()
    consensus_distance: Number = None
    own_accuracy: Annotated[tuple[Fraction, ...] | None, BeforeValidator(_of_clients)] = None
    metrics: Mapping[str, Number] = {}
    gradients: Mapping[str, LayerGradient] = {}
    drift: Mapping[Count, ClientDrift] = {}
    device_jobs: tuple[str, ...] = ()

    @property
    def clips_much(self) -> bool:
        """Whether so many coordinates were clipped that training suffers."""
        return (self.clipped_share or 0) > MUCH_CLIPPED


def costs(traffic: Traffic, num_values: int) -> dict[str, Any]:
    """The fields of a round's record that an aggregation decides.

    Args:
        traffic: What it cost.
        num_values: Coordinates of the updates it was given, over all clients.
    """
    clipped = traffic.num_clipped
    return {
        "upload_bytes": traffic.upload_bytes,
        "clipped": clipped,
        "clipped_share": None if clipped is None or not num_values else clipped / num_values,
        "clipped_updates": traffic.num_clipped_updates,
        "key_bits": traffic.key_bits,
        "key_wait_s": traffic.key_wait_s,
        "key_levels": _levels(traffic.key_levels),
        "starvation": traffic.starvation,
        "phases": tuple(p._replace(seconds=round(p.seconds, 6)) for p in traffic.phases),
    }


def _levels(levels: Mapping[tuple[int, int], int]) -> dict[str, int]:
    """Of the emptiest links if there are many."""
    lowest = sorted(levels.items(), key=lambda item: (item[1], item[0]))[:MAX_LINKS]
    return {link_name(pair): bits for pair, bits in sorted(lowest)}


def link_name(pair: tuple[int, int]) -> str:
    """The name of a link in records, `0-1` or `server-0`: its parties, the smaller first."""
    return "-".join("server" if party < 0 else str(party) for party in pair)


class Summary(Content):
    """A run in numbers, `summary.json`: totals over its rounds, last and best evaluation."""

    status: Literal["finished", "interrupted", "unfinished"]
    """`unfinished` is never written: the run goes on, or was killed."""
    rounds: Count
    lost_rounds: Count
    test_accuracy: Share
    test_loss: Rounded
    best_test_accuracy: Share
    seconds: Seconds
    upload_bytes: Count
    download_bytes: Count
    key_bits: Count
    key_wait_s: Seconds
    starved_rounds: Count
    dropped_updates: Count
    clipped: Count | None
    """None if no round knows."""
    highest_clipped_share: Share
    """Of any round."""
    parameters_sha256: str
    simulated_s: Seconds | None = None
    """None where no clock is simulated."""
    validation_loss: Rounded = None
    """After the last round; None without a validation split."""
    validation_accuracy: Share = None
    best_round: Count | None = None
    """The round whose model is in `best.safetensors`; None without a validation split."""
    stopped: str = ""
    """Why a run ended before its last round; empty if it did not."""


def summarise(
    records: list[RoundRecord],
    status: Literal["finished", "interrupted", "unfinished"],
    seconds: float | None = None,
    parameters_sha256: str = "",
    best_round: int | None = None,
    stopped: str = "",
) -> Summary:
    """Sum up rounds; `seconds` are those of the rounds unless the clock says more."""
    accuracies = [r.test_accuracy for r in records if r.test_accuracy is not None]
    evaluated = [r for r in records if r.test_accuracy is not None]
    evaluated = evaluated or [r for r in records if r.test_loss is not None]  # a regression
    clipped = [r.clipped for r in records if r.clipped is not None]
    shares = [r.clipped_share for r in records if r.clipped_share is not None]
    clock = [r.simulated_s for r in records if r.simulated_s is not None]
    last = evaluated[-1] if evaluated else None
    return Summary(
        status=status,
        rounds=len(records),
        lost_rounds=sum(bool(r.lost) for r in records),
        test_accuracy=last.test_accuracy if last else None,
        test_loss=last.test_loss if last else None,
        best_test_accuracy=max(accuracies, default=None),
        seconds=math.fsum(r.seconds for r in records) if seconds is None else seconds,
        upload_bytes=sum(r.upload_bytes for r in records),
        download_bytes=sum(r.download_bytes for r in records),
        key_bits=sum(r.key_bits for r in records),
        key_wait_s=math.fsum(r.key_wait_s for r in records),
        starved_rounds=sum(bool(r.starvation) for r in records),
        dropped_updates=sum(len(r.dropped) for r in records),
        clipped=sum(clipped) if clipped else None,
        highest_clipped_share=max(shares, default=None),
        parameters_sha256=parameters_sha256,
        simulated_s=math.fsum(clock) if clock else None,
        validation_loss=last.validation_loss if last else None,
        validation_accuracy=last.validation_accuracy if last else None,
        best_round=best_round,
        stopped=stopped,
    )


class Environment(Content):
    """Versions and machine, without names of hosts or people; `started` is UTC, ISO 8601.

    `num_cpus` are the cores that the run may use, `engine` is what runs circuits on them; a run
    that went on with another engine names both.
    """

    format: int
    fedket: str
    python: str
    jax: str
    numpy: str
    platform: str
    machine: str
    num_cpus: Count | None
    devices: tuple[str, ...]
    engine: str = "JAX"
    started: str
