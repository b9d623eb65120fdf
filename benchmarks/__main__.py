"""Everything that README shows about speed: `python -m benchmarks`.

Needs a quarter of an hour of a machine that does nothing else. Makes the peers' environments where
they are missing, publishes a run of each benchmark named below, and renews README's tables. One
that others disturbed is left out; it can be run again: `python -m benchmarks.NAME --publish`.
The tables show all files of `results/` together: who changes what is measured removes the old ones.
"""

import subprocess
import sys

PUBLISHED = ("gradient", "scale", "secure")


def main() -> int:
    """Return 1 if something could not be measured."""
    commands = [
        ("setup_peers",),
        *((name, "--publish") for name in PUBLISHED),
        ("table", "--write"),
    ]
    codes = [
        subprocess.run((sys.executable, "-m", f"benchmarks.{name}", *how), check=False).returncode
        for name, *how in commands
    ]
    return int(any(codes))


if __name__ == "__main__":
    raise SystemExit(main())
