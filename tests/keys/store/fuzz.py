"""Kill the process that uses two pad stores, again and again, and see that no byte is used twice.

By hand, for thousands of kills: `python -m tests.keys.store.fuzz --kills 2000`. Every life of the
process connects the ends of a link, deposits, reserves, accepts, takes and burns at random, and
writes each range to a log, synced, before it takes it. Lives end by SIGKILL at a random moment, or
at a crash point of the store. Between lives one store is sometimes replaced by an old copy.
"""

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import uuid
import warnings
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

from tests.keys.store.pad_store_parts import BACK, THERE, key
from tests.keys.store.replay import check_ledger

from fedket.keys.store import KeyPurpose, PadStore, connect
from fedket.keys.store.disk import CrashPoint, no_crash

CONNECTED = "connected"
ROUNDS, FOREVER = 5, 1 << 30
"""Of a life that nobody ends, and of one that somebody will."""

LONGEST_LIFE_S = 0.1


def live(
    directory: Path, seed: int, crash_point: CrashPoint = no_crash, rounds: int = ROUNDS
) -> None:
    """Use the stores of clients 0 and 1, and log what is about to be taken."""
    draw, run = random.Random(seed), uuid.uuid4().hex
    log = os.open(directory / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    stores = [PadStore.open(directory / str(i), i, crash_point=crash_point) for i in (0, 1)]
    connect(stores)
    write(log, CONNECTED)
    for round_num in range(rounds):
        for stream in (THERE, BACK):
            if stores[0].available(stream) < 300_000:
                name = uuid.uuid4().hex
                for store in draw.sample(stores, 2):
                    store.deposit(stream, name, key(name, draw.choice([100, 70_000, 400_000])))
                connect(stores)
        for sender, receiver in ((0, 1), (1, 0)):
            use_once(draw, stores[sender], stores[receiver], run, round_num, log)
    for store in stores:
        store.close()


def use_once(draw, sender: PadStore, receiver: PadStore, run: str, round_num: int, log: int):
    """One round of one stream; what is taken at both ends must be the same."""
    stream = (sender.owner, receiver.owner)
    length = min(draw.choice([1, 32, 1000, 150_000]), sender.available(stream))
    start = sender.reserve({stream: length}, KeyPurpose.PAD, run, round_num)[stream]
    receiver.accept({stream: (start, length)}, KeyPurpose.PAD, run, round_num)
    at = start
    while at < start + length and draw.random() < 0.8:
        end = draw.randint(at + 1, start + length)
        taken = set()
        for store in (sender, receiver):
            write(log, f"{store.owner} {stream[0]} {stream[1]} {at} {end}")
            taken.add(store.take(stream, at, end - at, run=run, round_num=round_num).reveal())
        if len(taken) != 1:
            raise AssertionError(f"the two ends of {stream} disagree about bytes {at}..{end}")
        at = end + draw.choice([0, 0, 3])
    if draw.random() < 0.7:
        for store in draw.sample([sender, receiver], draw.choice([1, 2])):
            store.burn([stream], run, round_num)


def write(log: int, line: str) -> None:
    os.write(log, f"{line}\n".encode())
    os.fsync(log)


def check(directory: Path) -> int:
    """Raise if a byte was about to be taken twice at one end; returns the number of ranges."""
    ranges: dict[str, list[tuple[int, int]]] = {}
    lines = (directory / "log").read_text().splitlines()
    for line in lines:
        if line != CONNECTED:
            end_of_stream, start, end = line.rsplit(" ", 2)
            ranges.setdefault(end_of_stream, []).append((int(start), int(end)))
    for end_of_stream, found in ranges.items():
        found.sort()
        for (_, end), (start, _) in pairwise(found):
            if start < end:
                raise AssertionError(f"bytes {start}..{end} of {end_of_stream} were used twice")
    for owner in "01":
        if (directory / owner / "pads.sqlite").exists() and (directory / owner / "lock").exists():
            check_ledger(directory / owner)
    return sum(map(len, ranges.values()))


def fork(life: Callable[[], None]) -> int:
    """Start a life in a process of its own; one that fails exits with 1."""
    child = os.fork()
    if child:
        return child
    try:
        life()
        os._exit(0)
    except BaseException as error:
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        sys.stderr.flush()
        os._exit(1)


def killed_after(directory: Path, seed: int, seconds: float) -> None:
    """Live until killed."""
    child = fork(lambda: live(directory, seed, rounds=FOREVER))
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    ended(child)


def killed_at(directory: Path, seed: int, name: str, times: int) -> bool:
    """Live until a crash point is passed for the n-th time; whether it was."""
    left = times

    def crash_point(passed: str) -> None:
        nonlocal left
        left -= passed == name
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    return ended(fork(lambda: live(directory, seed, crash_point)))


def ended(child: int) -> bool:
    """Wait for a life to end; whether it was killed. One that failed is an error."""
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    if os.WEXITSTATUS(status):
        raise AssertionError("a life ended with an error, see above")
    return False


def crash_points(directory: Path, seed: int) -> dict[str, int]:
    """How often a whole life from an empty directory passes each crash point."""
    log = directory / "points"

    def life() -> None:
        with log.open("w") as stream:
            live(directory, seed, lambda name: print(name, file=stream))

    ended(fork(life))
    passed = log.read_text().splitlines()
    return {name: passed.count(name) for name in dict.fromkeys(passed)}


def kill_everywhere(directory: Path, seed: int) -> int:
    """Kill one life at each crash point, let another follow; returns the number of points."""
    draw = random.Random(seed)
    reference = directory / "reference"
    reference.mkdir(parents=True)
    points = crash_points(reference, seed)
    for number, (name, count) in enumerate(points.items()):
        place = directory / f"point{number}"
        place.mkdir()
        if not killed_at(place, seed, name, draw.randint(1, count)):
            raise AssertionError(f"crash point `{name}` was not passed")
        ended(fork(lambda place=place: live(place, seed + 1)))
        check(place)
        shutil.rmtree(place)
    return len(points)


def kill_at_random(directory: Path, seed: int, kills: int) -> tuple[int, int]:
    """Kill lives of the same stores; returns how many ranges were logged and copies restored."""
    draw = random.Random(seed)
    directory.mkdir(parents=True)
    restored = 0
    for number in range(1, kills + 1):
        killed_after(directory, draw.getrandbits(32), draw.uniform(0, LONGEST_LIFE_S))
        if number % 100 == 0:
            check(directory)
        restored += swap_copies(directory, draw)
    ended(fork(lambda: live(directory, seed)))
    return check(directory), restored


def swap_copies(directory: Path, draw: random.Random) -> bool:
    """Sometimes copy a store, sometimes put an old copy back; the other end must be up to date."""
    owner = draw.choice("01")
    store, copy = directory / owner, directory / f"copy{owner}"
    log = directory / "log"
    if copy.exists() and draw.random() < 0.1:
        since = log.read_text().splitlines()[int((directory / "restored").read_text() or 0) :]
        if CONNECTED in since:
            shutil.rmtree(store)
            shutil.copytree(copy, store)
            (directory / "restored").write_text(str(len(log.read_text().splitlines())))
            return True
    if store.exists() and draw.random() < 0.1:
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(store, copy)
        (directory / "restored").touch()
    return False


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--directory", type=Path, default=None)
    chosen = parser.parse_args()
    warnings.filterwarnings("ignore", message=r"os\.fork\(\) was called")
    with tempfile.TemporaryDirectory(dir=chosen.directory) as name:
        points = kill_everywhere(Path(name) / "everywhere", chosen.seed)
        ranges, restored = kill_at_random(Path(name) / "random", chosen.seed, chosen.kills)
    sys.stdout.write(
        f"{points} crash points, {chosen.kills} random kills, {restored} old copies restored, "
        f"{ranges} ranges used: no byte twice\n"
    )


if __name__ == "__main__":
    main()
