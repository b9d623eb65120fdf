"""What a reader must know to take the numbers for what they are: simulated, counted, measured."""

import math
from pathlib import Path

from pydantic import ValidationError

from fedket.kinds import BUILT_IN
from fedket.report.run_record import RunRecord
from fedket.report.wording import count, plural, points
from fedket.section import find_section

KEY_SOURCES = {
    "none": "none: nothing is masked.",
    "os_random": (
        "os_random: operating-system random numbers, for tests and simulations, not QKD. "
        "The key bits counted here are what a real key supply would have to deliver."
    ),
    "simulated": (
        "simulated: key from simulated QKD links. The channel is a model; error correction, "
        "privacy amplification and the accounting of every byte really ran. The key bytes are "
        "operating-system random numbers and protect nothing beyond this program."
    ),
    "etsi014": (
        "etsi014: key from key managers over ETSI GS QKD 014, through durable pad stores. All "
        "parties ran in this one program, which therefore saw all keys."
    ),
}
SITES_KEY = (
    "etsi014: every party fetched its own ends of its links from its key manager over ETSI GS QKD "
    "014, into a pad store of its own. Whether a manager's keys come from a QKD device this report "
    "cannot know; those of `fedket kme serve`, which `fedket deploy local` starts, are simulated."
)
SITES_COSTS = (
    "Bytes are counted from the messages' contents, without transport overhead. Seconds are wall "
    "time at the server: training at the slowest site, the network and evaluation included."
)
SIMULATED_ENGINES = ("vectorised", "sequential", "sharded")


def at_sites(record: RunRecord) -> bool:
    """Whether the run was a deployment, not a simulation."""
    return bool(record.setting("engine.kind", "") == "flare")


def honest_notes(record: RunRecord) -> list[tuple[str, str]]:
    """Terms and sentences, in the order a sceptical reader asks."""
    clients = [] if at_sites(record) else [("Clients' accuracy", _CLIENT_ACCURACY)]
    return [
        ("What is simulated", _simulated(record)),
        ("What the server sees", server_view(record)),
        ("Key material", key_material(record)),
        ("Test accuracy", _test_accuracy(record)),
        *clients,
        ("Bytes and seconds", _costs(record)),
    ]


_CLIENT_ACCURACY = (
    "The global model on each client's own training samples, which it has partly been trained on: "
    "it shows how even the model is over clients, not how well it generalises. A real server "
    "could not see these numbers; the simulation computes them for this report."
)


def _simulated(record: RunRecord) -> str:
    engine = record.setting("engine.kind", "unknown")
    if engine not in (*SIMULATED_ENGINES, "flare"):
        return f"Engine {engine} as named in config.toml; this report cannot tell what it runs on."
    circuits = (
        "the quantum circuits are simulated on classical hardware"
        if record.facts.qubits
        else "the model is classical"
    )
    if at_sites(record):
        return f"Sites, server and messages between them are real (NVIDIA FLARE); {circuits}."
    return (
        f"Clients, server and network are simulated in one program ({engine} engine); {circuits}."
    )


def server_view(record: RunRecord) -> str:
    """A few sentences for the configured aggregation; a user's own code is not run for it."""
    kind = record.setting("aggregation.kind", "unknown")
    try:
        if kind in BUILT_IN["aggregation"]:
            section = find_section("aggregation", kind, Path())
            return " ".join(section.model_validate(record.setting("aggregation")).caveats())
    except ValidationError:
        pass
    return f"Aggregation {kind}: this report does not know what its server sees."


def key_material(record: RunRecord) -> str:
    """Where the pads came from, by the rounds' own account."""
    source = record.facts.key_source
    if at_sites(record) and source == "etsi014":
        return SITES_KEY
    return KEY_SOURCES.get(source, f"{source}: key source as named by the run.")


def _test_accuracy(record: RunRecord) -> str:
    test = count(record.facts.num_test)
    words = f"The global model on {test} test samples that no client trains on."
    error = standard_error(record)
    if error is not None:
        words += (
            f" With so many samples alone the standard error is {points(error)}; "
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
    if at_sites(record):
        return SITES_COSTS
    cores = record.environment.num_cpus
    where = f" with {plural(cores, 'core')}" if cores else ""
    return (
        "Bytes are counted from the messages' contents, without transport overhead. Seconds are "
        f"wall time of the simulation on one machine{where}, evaluation included; a deployment "
        "waits for its network and its slowest client instead."
    )
