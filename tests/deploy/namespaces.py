"""A network in this machine: parties in Linux namespaces of their own, joined by a bridge.

Nothing outside the namespaces is touched; what runs in them ends with them.
"""

import os
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager, suppress

import pytest

NETWORK = "10.77.0"
HUB = "hub"
"""Holds the bridge; its own address is the first."""


class Network:
    """Namespaces by the names of their parties."""

    address = f"{NETWORK}.1"

    def __init__(self, names):
        self.names, self._made, self._started = names, [], []

    def build(self):
        self._add(HUB)
        self._hub("link", "add", "name", "bridge0", "type", "bridge")
        self._hub("address", "add", f"{self.address}/24", "dev", "bridge0")
        self._hub("link", "set", "bridge0", "up")
        for number, name in enumerate(self.names, start=2):
            own = self._add(name)
            self._hub(
                "link", "add", "name", name, "type", "veth", "peer", "name", "up0", "netns", own
            )
            self._hub("link", "set", name, "master", "bridge0", "up")
            _ip("-n", own, "address", "add", f"{NETWORK}.{number}/24", "dev", "up0")
            _ip("-n", own, "link", "set", "up0", "up")

    def cut(self, name):
        self._hub("link", "set", name, "down")

    def mend(self, name):
        self._hub("link", "set", name, "up")

    def start(self, name, command, folder, log):
        """Start a process in a party's namespace."""
        with log.open("ab") as out:
            process = subprocess.Popen(
                ["ip", "netns", "exec", _space(name), *command],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "JAX_PLATFORMS": "cpu", "MALLOC_ARENA_MAX": "2"},
            )
        self._started.append(process)
        return process

    def remove(self):
        """End what runs here, also what the processes started by themselves."""
        for space in self._made:
            for pid in self._pids(space):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        for process in self._started:
            process.wait()
        for space in self._made:
            while self._pids(space):
                time.sleep(0.05)
            _ip("netns", "delete", space)

    def _add(self, name):
        space = _space(name)
        _ip("netns", "add", space)
        self._made.append(space)
        _ip("-n", space, "link", "set", "lo", "up")
        return space

    def _hub(self, *words):
        _ip("-n", _space(HUB), *words)

    def _pids(self, space):
        return [int(pid) for pid in _ip("netns", "pids", space).split()]


@contextmanager
def network(*names):
    """A network of these parties; skips the test where there can be none."""
    if os.geteuid() or not shutil.which("ip"):
        pytest.skip("network namespaces need root and the command `ip`")
    built = Network(names)
    try:
        try:
            built.build()
        except subprocess.CalledProcessError as error:
            pytest.skip(f"there can be no network namespaces here: {error.stderr.strip()}")
        yield built
    finally:
        built.remove()


def _space(name):
    return f"fedket-{os.getpid()}-{name}"


def _ip(*words):
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout
