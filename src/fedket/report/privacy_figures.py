"""What a private run has spent, over its rounds and in a tile."""

from matplotlib.axes import Axes

from fedket.report import html
from fedket.report.drawing import SERIES, EndLabel, label_ends, round_axis
from fedket.report.figures import curve
from fedket.report.run_record import RunRecord
from fedket.report.wording import plural


def paint_epsilon(ax: Axes, record: RunRecord) -> str:
    """ε after each round."""
    rounds, values = curve(record, "epsilon")
    ax.plot(rounds, values, color=SERIES[0], label="epsilon")
    ax.set_ylim(bottom=0)
    round_axis(ax, len(record.rounds))
    ax.set_title("epsilon")
    label_ends(ax, [EndLabel(values[-1], f"{values[-1]:.3g}", SERIES[0])])
    delta = record.facts.privacy.delta if record.facts.privacy else 0
    return f"Of the client that has taken part most, at δ = {delta:g}; lost rounds are paid for."


def privacy_tiles(record: RunRecord) -> list[html.Tile]:
    """Nothing without `[privacy]`."""
    promise = record.facts.privacy
    if promise is None:
        return []
    spent = [r.epsilon for r in record.rounds if r.epsilon is not None]
    clipped = [r.clipped_updates for r in record.rounds if r.clipped_updates is not None]
    words = f"δ = {promise.delta:g}, noise multiplier {promise.noise_multiplier:.4g}"
    tiles = [html.Tile("Epsilon", f"{spent[-1]:.4g}" if spent else "none", None, words)]
    if clipped:
        number = f"of {plural(len(clipped), 'round')}, longer than {promise.clip:g}"
        tiles.append(html.Tile("Updates clipped", str(sum(clipped)), sum(clipped), number))
    return tiles
