"""A tracker of one's own: a line per round in a file beside the run.

Run it with `python examples/extend/track.py`, or name it: `[track] kind = "track.py:Lines"`.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import fedket as fk


class Lines(fk.TrackConfig):
    """The keys of `[track]`."""

    file: str = "curve.txt"

    def build(self, context: fk.Context | None):
        """What makes the tracker of a run."""

        def begin(run: fk.TrackedRun) -> fk.Tracker:
            path = run.directory / self.file

            def log(round_num: int, numbers: dict[str, float]) -> None:
                with path.open("a") as place:
                    place.write(f"{round_num} {numbers['train_loss']:.4f}\n")

            return fk.Tracker(log, finish=print)

        return begin


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        run = fk.TrackedRun("mine", Path(folder), {}, 0, "")
        tracker = Lines().build(None)(run)
        tracker.log(1, {"train_loss": 0.5})
        print((Path(folder) / "curve.txt").read_text())
