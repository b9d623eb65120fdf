"""Create the peers' environments: `python -m benchmarks.setup_peers [NAME ...]`.

Each lives in `.venv-NAME` in the root of the repository, from `peers/requirements-NAME.txt`. One
that is there and was made from the same file is left alone. Where PyTorch's CPU build can be had
from an index of your own, name it to pip beforehand (PIP_EXTRA_INDEX_URL) and save some GB.
"""

import argparse
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("pennylane", "torchquantum", "flower", "tenseal", "byzfl")
PYTHON = "3.11"  # the only one that all pinned packages have builds for


class SetupError(Exception):
    """An environment could not be made."""


def environment(name: str) -> Path:
    """Return the folder of an environment."""
    return ROOT / f".venv-{name}"


def requirements(name: str) -> Path:
    """Return the file of an environment's pinned packages."""
    return ROOT / "benchmarks" / "peers" / f"requirements-{name}.txt"


def is_ready(name: str) -> bool:
    """Tell whether the environment was completed from today's requirements."""
    stamp = environment(name) / "requirements.sha256"
    return stamp.exists() and stamp.read_text() == _digest(name)


def create(name: str) -> None:
    """Make the environment from nothing."""
    folder = environment(name)
    pip = [folder / "bin" / "python", "-m", "pip", "install", "--quiet"]
    _run(_python(), "-m", "venv", "--clear", folder)
    for torch in (pin for pin in _pins(name) if pin.startswith("torch==")):
        _run(*pip, torch)  # with its dependencies, which differ between its builds
    _run(*pip, "--no-deps", "--requirement", requirements(name))
    (folder / "requirements.sha256").write_text(_digest(name))


def main() -> int:
    """Create what is missing; return 1 if something could not be made."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", default=NAMES, metavar="NAME", help=f"of {NAMES}")
    failed = False
    for name in parser.parse_args().names:
        if name not in NAMES:
            parser.error(f"unknown environment `{name}`; choose from {', '.join(NAMES)}")
        if is_ready(name):
            print(f"{name}: ready")
            continue
        try:
            print(f"{name}: installing into {environment(name).name} ...", flush=True)
            create(name)
        except SetupError as error:
            failed = True
            print(f"{name}: {error}", file=sys.stderr)
    return int(failed)


def _pins(name: str) -> list[str]:
    lines = requirements(name).read_text().splitlines()
    return [line for line in lines if not line.startswith("#")]


def _digest(name: str) -> str:
    return hashlib.sha256("\n".join(_pins(name)).encode()).hexdigest()


def _python() -> str:
    if sys.version_info[:2] == tuple(map(int, PYTHON.split("."))):
        return sys.executable
    found = shutil.which(f"python{PYTHON}")
    if found is None:
        raise SetupError(f"needs Python {PYTHON}, and `python{PYTHON}` is not on the PATH")
    return found


def _run(*command: str | Path) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        reason = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise SetupError(f"`{' '.join(map(str, command[-3:]))}` failed: {reason}")


if __name__ == "__main__":
    raise SystemExit(main())
