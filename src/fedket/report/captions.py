"""One sentence or two under each figure of a run: what to see and how it was measured."""

import numpy as np

from fedket.report.client_figures import (
    MAX_CLASSES,
    MAX_CLIENTS_AS_DOTS,
    fits_bubbles,
    sizes_differ,
)
from fedket.report.run_record import RunRecord
from fedket.report.wording import count, duration, percent, plural, quantity


def caption_accuracy(record: RunRecord) -> str:
    """Of the test accuracy over rounds."""
    best = max(
        (r for r in record.rounds if r.test_accuracy is not None),
        key=lambda r: r.test_accuracy or 0.0,
    )
    return (
        f"Global model on {plural(record.facts.num_test, 'test sample')}; "
        f"best {percent(best.test_accuracy)} in round {best.round}."
    )


def caption_loss(record: RunRecord) -> str:
    """Of the losses over rounds."""
    words = (
        "Train: mean over the cohort's local training, weighted by samples. "
        "Test: global model on the test set."
    )
    if any(r.test_accuracy is not None and r.test_loss is None for r in record.rounds):
        return f"{words} Values that are not finite are left out."
    return words


def caption_spread(record: RunRecord) -> str:
    """Of the clients' accuracies over rounds."""
    if record.num_clients == 1:
        return "Global model on the only client's training samples."
    middle = "dark band: the middle 80 % of clients, " if record.num_clients >= 10 else ""
    return (
        f"Global model on each client's own training samples; line: median client, {middle}"
        "light band: lowest to highest."
    )


def caption_final_clients(record: RunRecord) -> str:
    """Of the clients' last accuracies."""
    evaluation = max(record.client_quantiles)
    samples = record.label_counts.sum(axis=1)
    if not sizes_differ(samples):
        how = (
            f"The clients hold almost equally many samples (about {count(int(np.median(samples)))})"
        )
    elif len(samples) <= MAX_CLIENTS_AS_DOTS:
        how = f"Each dot is one client with {_size_range(samples)}"
    else:
        how = (
            f"{count(len(samples))} clients with {_size_range(samples)}, grouped by size: median, "
            "middle 80 %, and lowest to highest"
        )
    return f"After round {evaluation}. {how}."


def _size_range(samples: np.ndarray) -> str:
    if samples.min() == samples.max():
        return plural(int(samples.min()), "sample")
    return f"{count(int(samples.min()))} to {count(int(samples.max()))} samples"


def caption_labels(record: RunRecord) -> str:
    """Of the label distribution."""
    samples = record.label_counts.sum(axis=1)
    if record.label_counts.shape[1] == 1:
        what = (
            "The area of a dot is the number of training samples at that client; which classes "
            "they are only the client knows"
        )
    elif fits_bubbles(record.label_counts):
        what = "The area of a dot is the number of training samples of that class at that client"
    else:
        what = (
            f"Over {count(record.num_clients)} clients: dot the median, thick line the middle "
            "half, thin line 5 to 95 %; the upright tick is the class's share in all data"
        )
    rest = ""
    if record.facts.num_classes > MAX_CLASSES:
        rest = f" The {record.facts.num_classes - MAX_CLASSES + 1} rarest classes are drawn as one."
    return f"{what}. A client holds {_size_range(samples)}.{rest}"


def caption_traffic(record: RunRecord) -> str:
    """Of the bytes."""
    return (
        "All clients together, summed over rounds, counted from the messages' contents; one "
        f"upload is {quantity(record.facts.upload_bytes_per_client, 'B')} per client."
    )


def caption_keys(record: RunRecord) -> str:
    """Of the key bits."""
    return (
        "All pairs together, summed over rounds; a pair's pad of "
        f"{quantity(record.facts.key_bits_per_pair, 'bit')} counts once and is never used again."
    )


def caption_seconds(record: RunRecord) -> str:
    """Of the wall time."""
    first = duration(record.rounds[0].seconds)
    where = "at the server" if record.facts.at_sites else "on the simulating machine"
    return (
        f"Wall time {where}, evaluation included; the first round "
        f"({first}) also holds what is compiled on first use."
    )
