"""What every secure aggregation peer's script does: run the case named, print one line of JSON.

    .venv-flower/bin/python -m benchmarks.peers.flower_secaggplus CASE REPEATS

CASE is the fields of a `Case`, as a JSON list.
"""

import json
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from typing import Any

from benchmarks.secure_cases import Case, Clock, timed


def main(packages: Sequence[str], run: Callable[[Case, Clock], dict[str, Any]]) -> None:
    """Measure the case on the command line; `run` does one round, checks it, returns facts."""
    if len(sys.argv) != 3:
        raise SystemExit(f"usage: {sys.argv[0]} CASE REPEATS")
    case, repeats = Case(*json.loads(sys.argv[1])), int(sys.argv[2])
    found = timed(lambda clock: run(case, clock), repeats)
    print(json.dumps(found | {"versions": {name: version(name) for name in packages}}))
