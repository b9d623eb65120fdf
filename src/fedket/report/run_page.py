"""The report of one run: key figures, drawings, dropped updates, notes, environment, config."""

from collections.abc import Callable

from matplotlib.axes import Axes

from fedket.record import LOST
from fedket.report import drift_figures, html
from fedket.report.client_figures import paint_client_spread, paint_final_clients, paint_labels
from fedket.report.drawing import HEIGHT_INCHES, draw
from fedket.report.figures import (
    curve,
    paint_accuracy,
    paint_clock,
    paint_key_bits,
    paint_loss,
    paint_seconds,
    paint_staleness,
    paint_traffic,
)
from fedket.report.gossip_figures import paint_consensus, paint_own_models
from fedket.report.gradient_figures import paint_norms, paint_variances
from fedket.report.honesty import honest_notes, standard_error
from fedket.report.key_figures import (
    paint_levels,
    paint_waits,
    phases_section,
    starvation_section,
    supply_section,
)
from fedket.report.prediction_figures import (
    MATRIX_INCHES,
    Predictions,
    classes_section,
    paint_calibration,
    paint_confusion,
    predictions_of,
)
from fedket.report.privacy_figures import paint_epsilon, privacy_tiles
from fedket.report.run_record import RunRecord
from fedket.report.wording import (
    MISSING,
    count,
    duration,
    loss,
    percent,
    plural,
    points,
    quantity,
)


def run_page(record: RunRecord, downloads: bool = False) -> str:
    """The whole report of one run as one HTML document, with figures to save if asked for."""
    parts = [
        _header(record),
        html.tiles(key_figures(record)),
        _figures(record, downloads),
        classes_section(record),
        _lost(record),
        _dropped(record),
        starvation_section(record),
        supply_section(record),
        phases_section(record),
        html.section("How to read these numbers", html.notes(honest_notes(record))),
        html.section("Environment and result", _environment(record)),
        html.section(
            "Configuration",
            html.card(
                html.folded("config.toml, every value", html.preformatted(record.config_text))
            ),
        ),
        html.footer(f"Written by fedket from run directory {record.directory}."),
    ]
    return html.page(f"{record.name}: fedket report", parts)


def planned_rounds(record: RunRecord) -> int:
    """Rounds the configuration asks for; the finished ones if it does not say."""
    planned = record.setting("federation.rounds")
    return planned if isinstance(planned, int) else record.summary.rounds


def status_line(record: RunRecord) -> str:
    """Status in one sentence."""
    done = f"{count(record.summary.rounds)} of {plural(planned_rounds(record), 'round')}"
    return {
        "finished": f"finished: {done}",
        "interrupted": f"interrupted after {done}; fedket run --resume continues it",
        "unfinished": f"unfinished: {done} so far; the run goes on, or was killed",
    }[record.summary.status]


def _header(record: RunRecord) -> str:
    status = record.summary.status
    line = f'<p class="status {status}">{html.text(status_line(record))}</p>\n'
    clients = count(record.num_clients)
    sampled = record.setting("federation.clients_per_round", 0)
    kind, alpha = record.setting("partition.kind", MISSING), record.setting("partition.alpha")
    pairs = [
        ("data", record.setting("data.kind", MISSING)),
        ("partition", kind if alpha is None else f"{kind}, α = {alpha}"),
        ("clients", f"{clients}, {sampled} per round" if sampled else clients),
        ("model", record.setting("model.kind", MISSING)),
        ("strategy", record.setting("strategy.kind", MISSING)),
        ("aggregation", record.setting("aggregation.kind", MISSING)),
        ("seed", record.setting("seed", MISSING)),
    ]
    description = str(record.setting("description", ""))
    return html.header("fedket run report", record.name, description, line + html.facts(pairs))


def key_figures(record: RunRecord) -> list[html.Tile]:
    """The tiles; every number is the summary's or the facts'."""
    totals, model = record.summary, record.facts
    error = standard_error(record)
    clock = "wall time, at the server" if record.facts.at_sites else "wall time, simulation"
    best = f"best {percent(totals.best_test_accuracy)}"
    accuracy = f"{best}; standard error {points(error)}" if error is not None else "not evaluated"
    words_per_client = quantity(model.upload_bytes_per_client, "B")
    planned, lost = count(planned_rounds(record)), count(totals.lost_rounds)
    return [
        *(
            _errors(record)
            or [
                html.Tile(
                    "Test accuracy", percent(totals.test_accuracy), totals.test_accuracy, accuracy
                )
            ]
        ),
        html.Tile("Test loss", loss(totals.test_loss, error is not None), totals.test_loss),
        *_validated(record),
        _counted("Rounds", totals.rounds, totals.stopped or f"of {planned}, {lost} lost"),
        html.Tile("Time", duration(totals.seconds), totals.seconds, clock),
        *_clock(record),
        _sized("Uploaded", totals.upload_bytes, "B", f"{words_per_client} per client and round"),
        _sized("Downloaded", totals.download_bytes, "B"),
        _sized("Key spent", totals.key_bits, "bit", _keys(record)),
        _counted("Dropped updates", totals.dropped_updates),
        *_clipped(record),
        *privacy_tiles(record),
        _counted("Parameters", model.parameters),
        _counted("Qubits", model.qubits, "simulated" if model.qubits else "classical model"),
        _counted("Clients", record.num_clients),
        _counted("Training samples", model.num_train, f"{count(model.num_test)} for testing"),
    ]


def _errors(record: RunRecord) -> list[html.Tile]:
    """Of a regression; nothing for classes."""
    quality = record.quality
    if quality is None or quality.mse is None:
        return []
    r2, mse = quality.r2, quality.mse
    return [
        html.Tile("R²", MISSING if r2 is None else f"{r2:.3f}", r2, "on the test set; 1 at best"),
        html.Tile("Mean squared error", f"{mse:.4g}", mse, "in the units that were trained on"),
    ]


def _validated(record: RunRecord) -> list[html.Tile]:
    """Nothing without a validation split."""
    best = record.summary.best_round
    if best is None:
        return []
    at_best = record.rounds[best - 1]
    shown = loss(at_best.validation_loss, at_best.validation_loss is not None)
    if at_best.validation_accuracy is not None:
        shown = f"{percent(at_best.validation_accuracy)}, loss {shown}"
    return [_counted("Best round", best, f"on the validation split: {shown}")]


def _counted(label: str, value: int, detail: str = "") -> html.Tile:
    return html.Tile(label, count(value), value, detail)


def _sized(label: str, value: int, unit: str, detail: str = "") -> html.Tile:
    return html.Tile(label, quantity(value, unit), value, detail)


def _clock(record: RunRecord) -> list[html.Tile]:
    """Nothing where no clock is simulated."""
    seconds = record.summary.simulated_s
    if seconds is None:
        return []
    return [html.Tile("Simulated time", duration(seconds), seconds, "under [conditions]")]


def _clipped(record: RunRecord) -> list[html.Tile]:
    """Nothing where nothing is ever clipped."""
    if record.setting("aggregation.clip") is None:
        return []
    share, clipped = record.summary.highest_clipped_share, record.summary.clipped
    number = "not known" if clipped is None else f"{plural(clipped, 'coordinate')} in all rounds"
    return [html.Tile("Clipped in a round at most", percent(share), share, number)]


def _keys(record: RunRecord) -> str:
    if not record.facts.key_bits_per_pair:
        return "nothing is masked"
    return f"{quantity(record.facts.key_bits_per_pair, 'bit')} per pair and round"


def _of_predictions(
    paint: Callable[[Axes, Predictions], str],
) -> Callable[[Axes, RunRecord], str]:
    """A painter of a run's predictions."""

    def painted(ax: Axes, record: RunRecord) -> str:
        found = predictions_of(record.name, [record])
        return paint(ax, found) if found else ""

    return painted


def _paint_own_calibration(ax: Axes, predictions: Predictions) -> str:
    return paint_calibration(ax, [predictions])


_Drawing = tuple[str, str, Callable[[Axes, RunRecord], str], bool]
"""Name, title, painter, and whether there is anything to draw."""


def _drawings(record: RunRecord) -> list[_Drawing]:
    started = bool(record.rounds)
    evaluated = record.client_accuracy is not None
    several = record.evaluated_clients > 1
    has_loss = any(len(curve(record, field)[0]) for field in ("train_loss", "test_loss"))
    has_accuracy = len(curve(record, "test_accuracy")[0]) > 0
    has_gradients = any(r.gradients for r in record.rounds)
    has_drift = any(r.drift for r in record.rounds)
    has_clock = record.summary.simulated_s is not None
    has_levels = started and all(r.key_levels for r in record.rounds)
    apart = any(r.consensus_distance is not None for r in record.rounds)
    own = any(r.own_accuracy for r in record.rounds)
    predicted = predictions_of("", [record]) is not None
    waited = any(r.key_wait_s > 0 for r in record.rounds)
    return [
        ("accuracy", "Test accuracy", paint_accuracy, has_accuracy),
        ("clock", "Test accuracy by simulated time", paint_clock, has_accuracy and has_clock),
        ("loss", "Loss", paint_loss, has_loss),
        ("confusion", "Confusion", _of_predictions(paint_confusion), predicted),
        ("calibration", "Calibration", _of_predictions(_paint_own_calibration), predicted),
        ("gradients", "Gradients", paint_norms, has_gradients),
        ("variances", "Gradients by layer", paint_variances, has_gradients),
        ("drift", "Clients' updates", drift_figures.paint_norms, has_drift),
        ("agreement", "Client drift", drift_figures.paint_cosines, has_drift),
        ("spread", "Clients over rounds", paint_client_spread, evaluated),
        ("clients", "Clients at the end", paint_final_clients, several),
        ("consensus", "Consensus", paint_consensus, apart),
        ("own", "Clients' own models", paint_own_models, own),
        ("labels", "Who holds what", paint_labels, True),
        ("staleness", "Staleness", paint_staleness, any(r.staleness for r in record.rounds)),
        ("traffic", "Traffic", paint_traffic, started),
        ("epsilon", "Privacy spent", paint_epsilon, len(curve(record, "epsilon")[0]) > 0),
        ("keys", "Key spent", paint_key_bits, record.summary.key_bits > 0),
        ("levels", "Key reservoirs", paint_levels, has_levels),
        ("waits", "Waiting for key", paint_waits, waited),
        ("seconds", "Time", paint_seconds, started),
    ]


def _figures(record: RunRecord, downloads: bool) -> str:
    def drawn(name: str, title: str, paint: Callable[[Axes, RunRecord], str], _: bool) -> str:
        height = MATRIX_INCHES if name == "confusion" else HEIGHT_INCHES
        return draw(name, title, lambda ax: paint(ax, record), height, downloads=downloads)

    figures = html.figures(drawn(*drawing) for drawing in _drawings(record) if drawing[-1])
    first = "" if record.rounds else "<p>No round has finished yet, so there are no curves.</p>\n"
    return html.section("Figures", first + figures)


def _lost(record: RunRecord) -> str:
    lost = [((r.lost,), r.round) for r in record.rounds if r.lost]
    return html.rounds_section("Lost rounds", ("Why no sum could be opened",), lost)


def _dropped(record: RunRecord) -> str:
    dropped = [
        ((f"client {client}", reason), r.round)
        for r in record.rounds
        for client, reason in r.dropped.items()
        if reason != LOST
    ]
    return html.rounds_section("Dropped updates", ("Client", "Reason"), dropped)


def _environment(record: RunRecord) -> str:
    pairs = [
        (name, ", ".join(map(str, value)) if isinstance(value, tuple) else str(value))
        for name, value in record.environment
    ]
    if record.summary.parameters_sha256:
        pairs.append(("SHA-256 of the parameters", record.summary.parameters_sha256))
    return html.notes(pairs)
