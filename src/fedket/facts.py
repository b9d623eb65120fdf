"""What is known of an experiment before its first round: `facts.json` of a run directory."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, model_validator

from fedket.record import Content, Count, Number, Rounded


class LinkFeed(Content):
    """What one simulated link gives and needs; `seconds_per_round` is None if it gives nothing."""

    link: str
    rate_bps: float
    bits_per_round: Count
    seconds_per_round: Rounded


class KeyFeed(Content):
    """How long simulated links take to feed a round.

    Attributes:
        tight_link: The slowest one.
        seconds_per_round: Of the slowest one; None: it never gives key.
        bound: What sets the pace of the rounds.
        first_key_s: When the first block is whole; None: never.
        links: The slowest first.
    """

    tight_link: str
    seconds_per_round: Rounded
    bound: Literal["key", "training"]
    first_key_s: Rounded
    links: tuple[LinkFeed, ...]


class PrivacyFacts(Content):
    """What a run's noise promises, before its first round.

    Attributes:
        kind: Whose noise, and which.
        clip: Largest L2 norm of a contribution; with `dp_sgd`, of a sample's gradient.
        noise_multiplier: Standard deviation of the noise on the sum of these, over the clip.
        epsilon: ε after all planned rounds, at δ; None without noise.
        delta: δ.
        rounds_each: Rounds that one client takes part in, at most.
        steps_to_clip: Integer steps that the clip is divided into; None with `dp_sgd`.
    """

    kind: str
    clip: float
    noise_multiplier: float
    epsilon: Number
    delta: float
    rounds_each: Count
    steps_to_clip: float | None


class Facts(Content):
    """What is known of an experiment before its first round; bytes and bits are per round.

    Attributes:
        parameters: Trainable numbers.
        qubits: Qubits of the circuit; 0 for classical models.
        upload_bytes_per_client: Size of one contribution as sent to the server: its words. What
            the protocol adds (offsets, tags, shares of masks) comes on top and is in the record.
            Without a centre, what the client with the most neighbours sends to them.
        download_bytes_per_client: Size of the global model; without a centre, of the neighbours'.
        key_source: Where key comes from; `none` if none is needed.
        key_bits_per_pair: Key bits that two clients who share pads spend on them; 0 without
            masking.
        key_bits_per_server_link: Key bits a client spends with the server, on MACs.
        key_bits_per_round: Key bits of all links together.
        key_feed: How long simulated links need to feed a round; None for other key sources.
        clients: Clients in all.
        clients_per_round: Clients of a cohort.
        num_train: Training samples.
        num_test: Test samples.
        num_validation: Samples of the validation split.
        num_classes: Classes.
        label_counts: Samples of each class (columns) on each client (rows); a single column for
            all classes where only the clients know them.
        measured: What was measured on generated samples: description -> value.
        at_sites: Whether clients are sites that are reached by messages.
        caveats: Table of the configuration -> what the kind that it names says for the report.
        noise: How noise on the circuit is worked out, and what that costs; empty without any.
        runs_on: What runs a circuit that was written elsewhere; empty for fedket's own circuits.
        on_device: Whether that is a device or simulator other than fedket's engine.
        shots: What finite shots cost, and how they are simulated; empty for infinitely many.
        conditions: Who attends a round and how long it takes, simulated; empty without.
        graph: Who averages with whom, of a federation without a centre; empty with a server.
        privacy: What the noise on sums promises; None without any.
        class_names: What labels 0, 1, ... stand for; empty if they say it themselves.
    """

    parameters: Count
    qubits: Count
    upload_bytes_per_client: Count
    download_bytes_per_client: Count
    key_source: str
    key_bits_per_pair: Count
    key_bits_per_server_link: Count
    key_bits_per_round: Count
    key_feed: KeyFeed | None
    clients: Count
    clients_per_round: Count
    num_train: Count
    num_test: Count
    num_validation: Count = 0
    num_classes: Annotated[int, Field(ge=1)]
    label_counts: tuple[tuple[Count, ...], ...]
    measured: Mapping[str, Number]
    at_sites: bool
    caveats: Mapping[str, tuple[str, ...]]
    noise: str = ""
    runs_on: str = ""
    on_device: bool = False
    shots: str = ""
    conditions: str = ""
    graph: str = ""
    privacy: PrivacyFacts | None = None
    class_names: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check_counts(self) -> "Facts":
        if {len(row) for row in self.label_counts} not in ({self.num_classes}, {1}):
            raise ValueError(
                "`label_counts` must have one row per client, and one column per class, or one for "
                "all classes"
            )
        return self
