"""What every secure aggregation peer's script does: run the cases named, print lines of JSON.

.venv-flower/bin/python -m benchmarks.peers.flower_secaggplus n16-d2000-q16-lost0-k15 ...
"""

import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

from benchmarks.secure_cases import Case, Clock, timed
from benchmarks.timing import answer


def main(packages: Sequence[str], run: Callable[[Case, Clock], dict[str, Any]]) -> None:
    """Measure the cases on the command line; `run` does one round, checks it, returns facts."""
    versions = {name: version(name) for name in packages}
    answer(lambda name: timed(run, name) | {"versions": versions}, sys.argv[1:])
