"""What a reader must know to take the numbers for what they are: simulated, counted, measured.

What a kind has to say of itself stands in the run's facts; here is what holds for every run.
"""

import math

from fedket.record import MUCH_CLIPPED
from fedket.report.run_record import RunRecord
from fedket.report.wording import count, percent, plural, points

TITLES = {
    "engine": "What is simulated",
    "aggregation": "What the server sees",
    "keys": "Key material",
}
"""Tables of the configuration whose kinds answer a question that every reader has."""

CLIENT_ACCURACY = (
    "The global model on clients' own training samples, which it has partly been trained on: "
    "it shows how even the model is over clients, not how well it generalises. A real server "
    "could not see these numbers; the simulation computes them for this report."
)


def honest_notes(record: RunRecord) -> list[tuple[str, str]]:
    """Terms and sentences, in the order a sceptical reader asks."""
    others = [
        (table.capitalize(), " ".join(said))
        for table, said in record.facts.caveats.items()
        if table not in TITLES
    ]
    clients = [] if record.client_accuracy is None else [("Clients' accuracy", CLIENT_ACCURACY)]
    return [
        *((title, caveats_of(record, table)) for table, title in TITLES.items()),
        *others,
        *_clipping(record),
        *_lost(record),
        ("Test set", _test_accuracy(record)),
        *clients,
        ("Bytes and seconds", _costs(record)),
    ]


def caveats_of(record: RunRecord, table: str) -> str:
    """What the kind of a table in `TITLES` says of itself."""
    if table == "keys" and record.facts.key_source == "none":
        return "none: nothing is masked."
    kind = record.setting(f"{table}.kind", "unknown")
    said = record.facts.caveats.get(table, (f"{kind} does not say.",))
    if table == "engine":
        said = (*said, _where(record))
    return " ".join(said)


def _where(record: RunRecord) -> str:
    """What computed the model."""
    if record.facts.on_device:
        return "The quantum circuits ran on the device that is named under Model."
    if record.facts.qubits:
        return "The quantum circuits are simulated on classical hardware."
    return "The model is classical."


def _clipping(record: RunRecord) -> list[tuple[str, str]]:
    """Nothing where nothing is ever clipped."""
    clip = record.setting("aggregation.clip")
    if clip is None or not record.rounds:
        return []
    share = record.summary.highest_clipped_share
    if share is None:
        return [("Clipped coordinates", "Not known: each client keeps its own count to itself.")]
    words = (
        f"Values beyond aggregation.clip = {clip} are cut off before they are sent: "
        f"{percent(share)} of the coordinates in the round with the most."
    )
    much = sum(r.clips_much for r in record.rounds)
    if much:
        words += (
            f" Warning: in {plural(much, 'round')} more than {percent(MUCH_CLIPPED)} were, so the "
            "sum is not that of the updates; a larger aggregation.clip avoids it."
        )
    return [("Clipped coordinates", words)]


def _lost(record: RunRecord) -> list[tuple[str, str]]:
    lost = record.summary.lost_rounds
    words = f"{plural(lost, 'round')} ended without a sum; the model then stayed as it was."
    return [("Lost rounds", words)] if lost else []


def _test_accuracy(record: RunRecord) -> str:
    test = count(record.facts.num_test)
    words = f"The global model on {test} test samples that no client trains on."
    error = standard_error(record)
    if error is not None:
        words += (
            f" With this many samples alone, the standard error is {points(error)}; "
            "other seeds vary more."
        )
    return f"{words} The best round is chosen by looking at the test set, so it flatters."


def standard_error(record: RunRecord) -> float | None:
    """Binomial standard error of the test accuracy, sqrt(p (1 - p) / num_test)."""
    accuracy, samples = record.summary.test_accuracy, record.facts.num_test
    if accuracy is None or samples == 0:
        return None
    return math.sqrt(accuracy * (1 - accuracy) / samples)


def _costs(record: RunRecord) -> str:
    bytes_ = "Bytes are counted from the messages' contents, without transport overhead."
    if record.facts.at_sites:
        return (
            f"{bytes_} Seconds are wall time at the server: training at the slowest site, the "
            "network and evaluation included."
        )
    cores = record.environment.num_cpus
    where = f" with {plural(cores, 'core')}" if cores else ""
    return (
        f"{bytes_} Seconds are wall time of the simulation on one machine{where}, evaluation "
        "included; a deployment waits for its network and its slowest client instead."
    )
