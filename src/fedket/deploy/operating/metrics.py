"""A federation in Prometheus' text format (package `prometheus_client`, extra `watch`)."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from fedket.deploy.operating.certificates import days_left
from fedket.deploy.operating.state import FederationState, Look
from fedket.errors import ConfigError

KIND = "text/plain; version=0.0.4"
STATUSES = ("starting", "running", "finished", "failed", "stopped", "interrupted")


def exposition(look: Look) -> str:
    """Return the metrics of a federation.

    Raises:
        ConfigError: The package is missing.
    """
    try:
        from prometheus_client import CollectorRegistry, generate_latest
    except ModuleNotFoundError:
        raise ConfigError(
            "the package `prometheus_client` is missing; install it with: pip install "
            "'fedket[watch]'"
        ) from None
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(look))
    return generate_latest(registry).decode()


class _Collector:
    """Gauges of a look, made when they are asked for."""

    def __init__(self, look: Look) -> None:
        self._look = look

    def collect(self) -> Iterator[Any]:
        from prometheus_client.core import GaugeMetricFamily

        status = self._look.status.split()[0].rstrip(",")
        state = GaugeMetricFamily("fedket_status", "1 for how the run is", labels=["status"])
        for name in STATUSES:
            state.add_metric([name], float(name == status))
        yield state
        if self._look.state is not None:
            for name, about, labels, values in _gauges(self._look.state):
                gauge = GaugeMetricFamily(f"fedket_{name}", about, labels=labels)
                for labelled, value in values.items():
                    gauge.add_metric([labelled] if labels else [], value)
                yield gauge


Gauge = tuple[str, str, list[str], dict[str, float]]


def _gauges(state: FederationState) -> list[Gauge]:
    """(name, help, labels, label's value -> number)."""
    age = (datetime.now(UTC) - datetime.fromisoformat(state.written)).total_seconds()
    last = state.last.get("seconds")
    loss = state.last.get("train_loss")
    sites, links = state.sites, state.links
    return [
        ("state_age_seconds", "Since the state was written", [], {"": age}),
        ("rounds_finished", "Rounds finished", [], {"": state.rounds}),
        ("rounds_planned", "Rounds there will be", [], {"": state.of}),
        ("round_seconds", "Duration of the last round", [], {} if last is None else {"": last}),
        ("round_train_loss", "Of the last round", [], {} if loss is None else {"": loss}),
        ("site_inside", "Whether a site takes part", ["site"], {s.name: s.inside for s in sites}),
        (
            "site_round_seconds",
            "What a site took of the last round",
            ["site"],
            {s.name: s.seconds for s in sites if s.seconds is not None},
        ),
        (
            "link_key_bytes",
            "Key ready on a link",
            ["peer"],
            {link.peer: float(link.num_bytes) for link in links},
        ),
        (
            "link_key_rounds",
            "Rounds for which key is ready",
            ["peer"],
            {link.peer: link.rounds for link in links},
        ),
        (
            "certificate_days",
            "Days until a certificate ends",
            ["file"],
            {one.file: days_left(one) for one in state.certificates},
        ),
        ("problems", "Problems of this party in this session", [], {"": float(state.problems)}),
    ]
