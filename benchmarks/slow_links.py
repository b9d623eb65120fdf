"""Sites behind slow and far links, on this machine: each in a network namespace of its own.

A site sees nothing but its loopback; what it sends to the ports of the server and of the key
manager is carried out by a proxy in this process that delays it, spaces it out to a rate and stands
still at times, in each direction by itself. Needs root (`ip netns`), and no `netem` in the kernel.
"""

import asyncio
import ctypes
import os
import random
import socket
import subprocess
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

CHUNK = 16 * 1024
"""Bytes that are carried at a time."""

QUEUE_S = 0.5
"""A link's own buffer, in seconds of its rate: who sends faster is held up by TCP."""

CLONE_NEWNET = 0x40000000


class Link(NamedTuple):
    """How a link carries bytes, each way.

    Attributes:
        delay_s: Seconds from one end to the other.
        rate_bps: Bits per second; infinite for no limit.
        stalls: Share of the time in which nothing moves.
        stall_s: How long it then stands still at a time.
    """

    delay_s: float = 0.0
    rate_bps: float = float("inf")
    stalls: float = 0.0
    stall_s: float = 2.0


class Wire:
    """One direction of a connection."""

    def __init__(self, link: Link, seed: str) -> None:
        self._link, self._random = link, random.Random(seed)  # noqa: S311 - a model of a network
        self._free = 0.0
        self._stall = self._next_stall(0.0)

    def _next_stall(self, now: float) -> float:
        if not self._link.stalls:
            return float("inf")
        between = self._link.stall_s * (1 - self._link.stalls) / self._link.stalls
        return now + self._random.expovariate(1 / between)

    def arrival(self, now: float, num_bytes: int) -> float:
        """When bytes that are handed over now arrive."""
        start = max(now, self._free)
        while start > self._stall:
            start = max(start, self._stall + self._link.stall_s)
            self._stall = self._next_stall(self._stall + self._link.stall_s)
        self._free = start + 8 * num_bytes / self._link.rate_bps
        return self._free + self._link.delay_s

    def backlog_s(self, now: float) -> float:
        """Seconds until bytes that are handed over now begin to leave."""
        return self._free - now

    async def carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        """Carry bytes until there are no more."""
        loop = asyncio.get_running_loop()
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def deliver() -> None:
            while True:
                when, data = await under_way.get()
                await asyncio.sleep(when - loop.time())
                if not data:
                    sink.close()
                    return
                sink.write(data)
                await sink.drain()

        delivery = asyncio.create_task(deliver())
        with suppress(OSError):
            while data := await source.read(CHUNK):
                under_way.put_nowait((self.arrival(loop.time(), len(data)), data))
                await asyncio.sleep(self.backlog_s(loop.time()) - QUEUE_S)
        under_way.put_nowait((loop.time(), b""))
        with suppress(OSError):
            await delivery


class Namespace:
    """A site's own network, from which `ports` of this machine's loopback are reached over links.

    Args:
        name: Of the site.
        ports: Port -> the link there.
    """

    def __init__(self, name: str, ports: dict[int, Link]) -> None:
        self._space, self._name = f"fedket-bench-{os.getpid()}-{name}", name
        _ip("netns", "add", self._space)
        _ip("-n", self._space, "link", "set", "lo", "up")
        self._loop = asyncio.new_event_loop()
        for port, link in ports.items():
            self._loop.run_until_complete(self._serve(port, link))
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def command(self, words: list[str]) -> list[str]:
        """The command that runs another one inside."""
        return ["ip", "netns", "exec", self._space, *words]

    def remove(self) -> None:
        """End everything inside, and the namespace."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        for pid in _ip("netns", "pids", self._space).split():
            subprocess.run(["kill", "-9", pid], check=False)
        _ip("netns", "delete", self._space)

    async def _serve(self, port: int, link: Link) -> None:
        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            outer = await asyncio.open_connection("127.0.0.1", port)
            seed = f"{self._name} {port}"
            up, down = Wire(link, f"{seed} up"), Wire(link, f"{seed} down")
            await asyncio.gather(up.carry(reader, outer[1]), down.carry(outer[0], writer))

        await asyncio.start_server(accept, sock=_listen_inside(self._space, port), limit=CHUNK)


def _listen_inside(space: str, port: int) -> socket.socket:
    """A socket that listens in another network namespace; a thread of its own goes there."""
    made: list[socket.socket] = []

    def enter() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        with Path(f"/run/netns/{space}").open("rb") as file:
            if libc.setns(file.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"cannot enter {space}")
        made.append(socket.create_server(("127.0.0.1", port)))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    return made[0]


@contextmanager
def namespaces(names: Iterable[str], ports: dict[int, Link]) -> Iterator[dict[str, Namespace]]:
    """A namespace for every site."""
    made: dict[str, Namespace] = {}
    try:
        for name in names:
            made[name] = Namespace(name, ports)
        yield made
    finally:
        for space in made.values():
            space.remove()


def _ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout
