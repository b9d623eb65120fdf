"""Two parties, key managers, and a server that forges: no byte of key is given out twice.

By hand, for many cases: `python -m tests.keys.link_fuzz --cases 10000`. A case is a random course
of some 40 steps: links are confirmed, filled and used; a party's process is killed, at any write
of its store; a store is copied, lost, or replaced by an old copy; the key managers are restored,
and deliver keys again. The server drops messages and answers, alters them, repeats old ones, and
announces offsets of its own; it plays whole old conversations, and tells a party that the other
one accepted what that never heard of.

Stores of both parties are not restored at once, nor is that of a second party, if the key managers
were restored too: nobody is left then who knows. Nor is that of a party that used key which the
other one did not accept, as Protocol A may against a server that lies about members.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
import uuid
from collections import Counter
from contextlib import nullcontext, suppress
from pathlib import Path
from unittest.mock import patch

from fedket.deploy import party_keys, refill
from fedket.deploy.party_keys import StoreKeys
from fedket.errors import FedketError
from fedket.keys.etsi014 import fetch
from fedket.keys.etsi014.answers import DeliveredKey
from fedket.keys.etsi014.client import Kme
from fedket.keys.etsi014.config import SaeConfig
from fedket.keys.etsi014.errors import KmeRefusedError, PeerSilentError
from fedket.keys.etsi014.models import Status
from fedket.keys.material import KeyMaterial
from fedket.keys.store import PadStore

STEPS, PIECE = 40, 16
SAES = {0: "0", 1: "1"}
LIES = ("drop", "lose", "old answer", "old request", "alter", "alter answer")


class KilledError(BaseException):
    """The process ends here."""


class KeyManagers:
    """Both parties' key managers; restored, they deliver from the beginning."""

    def __init__(self) -> None:
        self.made: list[tuple[str, str, DeliveredKey]] = []
        self.backup: list[tuple[str, str, DeliveredKey]] = []
        self.waiting: dict[str, tuple[str, str, DeliveredKey]] = {}

    def of(self, me: str) -> Kme:
        def status(peer):
            names = {"source_KME_ID": "k", "target_KME_ID": "k"}
            limits = {"key_size": 256, "stored_key_count": 9, "max_key_count": 9}
            most = {"max_key_per_request": 3, "max_key_size": 512, "min_key_size": 256}
            saes = {"master_SAE_ID": me, "slave_SAE_ID": peer, "max_SAE_ID_count": 0}
            return Status.model_validate(names | limits | most | saes)

        def enc_keys(peer, number, size_bits):
            return tuple(self._next(me, peer, size_bits) for _ in range(number))

        def dec_keys(peer, key_ids, size_bits):
            there = [self.waiting.get(key_id, ("", "", None)) for key_id in key_ids]
            if any(found[:2] != (peer, me) for found in there):
                raise KmeRefusedError("one or more keys specified are not found on KME")
            return tuple(self.waiting.pop(key_id)[2] for key_id in key_ids)

        return Kme(status, enc_keys, dec_keys)

    def _next(self, master, slave, size_bits):
        for place, (*pair, key) in enumerate(self.backup):
            if pair == [master, slave] and 8 * len(key.secret) == size_bits:
                return self._deliver(*self.backup.pop(place))
        key = DeliveredKey(str(uuid.uuid4()), KeyMaterial(os.urandom(size_bits // 8)))
        self.made.append((master, slave, key))
        return self._deliver(*self.made[-1])

    def _deliver(self, master, slave, key):
        self.waiting[key.key_id] = (master, slave, key)
        return key

    def restore(self):
        self.backup = list(self.made)


class Inline:
    """A thread that is over when it has been started: courses go the same way every time."""

    def __init__(self, target, daemon) -> None:
        self.start = target


class Case:
    """One course; `happened` counts what was done and refused in it."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.draw = folder, random.Random(seed)
        self.kmes = KeyManagers()
        self.stores: dict[int, PadStore] = {}
        self.keys: dict[int, StoreKeys] = {}
        self.kill_in: dict[int, int] = {}
        self.given: dict[int, set[bytes]] = {0: set(), 1: set()}
        self.stale: set[int] = set()
        self.record: list[tuple[int, str, dict, dict]] = []
        self.announced = [0]
        self.plays = False
        self.liar = self.draw.random() * 0.3
        self.restorable = self.draw.choice([{0}, {1}, {0, 1}])
        self.one_restorable = len(self.restorable) == 1
        self.happened: Counter[str] = Counter()
        for party in SAES:
            self.start(party)

    def start(self, party: int) -> None:
        """Begin a process."""
        self.kill_in.pop(party, None)

        def crash_point(_name: str) -> None:
            if party in self.kill_in:
                self.kill_in[party] -= 1
                if self.kill_in[party] < 0:
                    raise KilledError

        def ask(peer, action, payload):
            return self.carry(party, peer, action, payload)

        store = PadStore.open(self.folder / str(party), party, crash_point=crash_point)
        self.stores[party] = store
        kme, nowhere = nullcontext(self.kmes.of(SAES[party])), Path("nowhere")
        files = {"ca": nowhere, "certificate": nowhere, "key": nowhere}
        sae = SaeConfig(kme_url="https://localhost:1", sae_id=SAES[party], **files)
        with patch.object(party_keys, "connect", lambda _: kme):
            self.keys[party] = StoreKeys(party, store, sae, SAES, ask)

    def kill(self, party: int) -> None:
        """End a process as `kill -9` does."""
        self.happened["killed"] += 1
        session = self.stores[party]._session
        session.close_parts()
        os.close(session._lock)
        self.start(party)

    def alive(self, party: int, act):
        """Let a party act; it may be killed in the middle."""
        try:
            return act()
        except KilledError:
            self.kill(party)
            raise PeerSilentError("it was killed") from None

    def carry(self, party, peer, action, payload):
        """The server's part."""
        lie = self.draw.choice(LIES) if self.draw.random() < self.liar else ""
        lie = "old answer" if self.plays else lie
        old = [r for r in self.record if r[:2] == (party, action)]
        self.happened[lie and f"server: {lie}"] += 1
        if lie == "drop":
            raise PeerSilentError("dropped")
        if lie == "old answer" and old:
            return self.draw.choice(old)[3]
        if lie == "old request" and self.record:
            self.repeat()
        answer = self.deliver(party, action, self.altered(payload) if lie == "alter" else payload)
        if lie == "lose":
            raise PeerSilentError("lost")
        return self.altered(answer) if lie == "alter answer" else answer

    def repeat(self):
        """Deliver an old message once more, or one of the other party as if it were its peer's."""
        party, action, payload, _ = self.draw.choice(self.record)
        if self.draw.random() < 0.2:
            party = 1 - party
        with suppress(FedketError):
            self.deliver(party, action, payload)

    def deliver(self, party, action, payload):
        peer = 1 - party
        try:
            answer = self.alive(peer, lambda: self.keys[peer].answer(party, action, payload))
        except FedketError as error:
            raise PeerSilentError(str(error)) from None
        self.record.append((party, action, payload, answer))
        return answer

    def altered(self, message):
        changed = dict(message)
        name = self.draw.choice(list(changed) or ["content"])
        content = bytearray(changed.get(name, b"") or b"x")
        content[self.draw.randrange(len(content))] ^= 1 << self.draw.randrange(8)
        return {**changed, name: bytes(content)}

    def use(self):
        """One exchange: the sender uses key that the receiver accepted, or none."""
        sender = self.draw.choice([0, 1])
        stream, run = (sender, 1 - sender), uuid.uuid4().hex
        length = PIECE * self.draw.choice([1, 2, 5])
        ours, theirs = (self.keys[end].source(run) for end in stream)
        start = self.alive(sender, lambda: ours.reserve(1, sender, {stream: length}))[stream]
        said = start if self.draw.random() > self.liar else self.draw.choice(self.announced)
        self.announced += [start, start + PIECE]
        ranges = {stream: (said, length)}
        self.alive(stream[1], lambda: theirs.accept(1, stream[1], ranges))
        if said != start:  # fails the MAC
            return
        pads = [
            source.spend(1, end, stream, 0, length).reveal()
            for source, end in zip((ours, theirs), stream, strict=True)
        ]
        if pads[0] != pads[1]:
            raise AssertionError(f"the ends of {stream} disagree")
        for end in stream:
            self.note(end, pads[0])
        self.happened["used"] += 1

    def use_alone(self, party):
        """The server says that the other one accepted, or announced, what it never heard of."""
        stream = self.draw.choice([(party, 1 - party), (1 - party, party)])
        source = self.keys[party].source(uuid.uuid4().hex)
        if party == stream[0]:
            self.alive(party, lambda: source.reserve(1, party, {stream: PIECE}))
        else:
            ranges = {stream: (self.draw.choice(self.announced), PIECE)}
            self.alive(party, lambda: source.accept(1, party, ranges))
        self.note(party, source.spend(1, party, stream, 0, PIECE).reveal())
        self.restorable = self.restorable - {party}
        self.happened["used alone"] += 1

    def note(self, party, pad):
        pieces = {pad[i : i + PIECE] for i in range(0, len(pad), PIECE)}
        if self.given[party] & pieces:
            raise AssertionError(f"party {party} was given a byte twice")
        self.given[party] |= pieces

    def restore(self):
        """Put an old copy, or nothing, in the place of one party's store."""
        party = self.draw.choice(sorted(self.restorable) or [-1])
        if party < 0 or (1 - party) in self.stale:
            return
        copies = sorted(self.folder.glob(f"copy {party} *"))
        place = self.folder / str(party)
        session = self.stores[party]._session
        session.close_parts()
        os.close(session._lock)
        shutil.rmtree(place)
        if copies and self.draw.random() < 0.9:
            shutil.copytree(self.draw.choice(copies), place)
        self.stale.add(party)
        self.start(party)
        self.happened["restored"] += 1

    def step(self):
        """One step, whatever it is."""
        party, self.plays = self.draw.choice([0, 1]), False
        if self.draw.random() < 0.05:
            self.kill_in[party] = self.draw.randrange(40)
        what = self.draw.choices(
            ["connect", "fill", "use", "alone", "restore", "copy", "kill", "repeat", "KMEs"],
            [8, 6, 14, 0.5, 1.5, 1.5, 1, 1, 0.3],
        )[0]
        if what == "connect":
            self.plays = self.draw.random() < self.liar
            self.alive(party, lambda: self.keys[party].links([1 - party]))
        elif what == "fill":
            self.alive(party, lambda: self.keys[party].fill({(party, 1 - party): 10 * PIECE}))
        elif what == "use":
            self.use()
        elif what == "alone":
            self.use_alone(party)
        elif what == "restore":
            self.restore()
        elif what == "copy":
            name = f"copy {party} {len(list(self.folder.iterdir()))}"
            shutil.copytree(self.folder / str(party), self.folder / name)
        elif what == "kill":
            self.kill(party)
        elif what == "repeat" and self.record:
            self.repeat()
        elif what == "KMEs" and self.one_restorable:
            self.kmes.restore()
            self.happened["key managers restored"] += 1

    def attempt(self, act) -> None:
        """Do something that may be refused."""
        try:
            act()
        except FedketError as error:
            self.happened[f"refused: {type(error).__name__}"] += 1
        for party in list(self.stale):
            if self.keys[party]._links[1 - party]._key is not None:
                self.stale.discard(party)

    def attack(self) -> None:
        """Restore a party and play it an old conversation; then let it use key alone."""
        party = self.draw.choice(sorted(self.restorable) or [-1])
        if party in self.restorable:
            self.attempt(self.restore)
            self.plays = True
            self.attempt(lambda: self.keys[party].links([1 - party]))
            for _ in range(4):
                self.attempt(lambda: self.use_alone(party))

    def run(self) -> Counter[str]:
        """Two honest steps, then random ones, then an attack."""
        honest, self.liar = self.liar, 0.0
        self.keys[0].links([1])
        for party in SAES:
            self.keys[party].fill({(party, 1 - party): 10 * PIECE})
        self.liar = honest
        for _ in range(STEPS):
            self.attempt(self.step)
        self.attack()
        for party in SAES:
            self.kill_in.pop(party, None)
            self.keys[party].close()
        return self.happened


def fuzz(cases: int, seed: int = 0, directory: Path | None = None) -> Counter[str]:
    """Run cases; raise if a byte was given out twice."""
    total: Counter[str] = Counter()
    for number in range(cases):
        with (
            tempfile.TemporaryDirectory(dir=directory) as folder,
            patch.object(refill, "Thread", Inline),
            patch.object(fetch, "Thread", Inline),
        ):
            try:
                total += Case(Path(folder), seed + number).run()
            except BaseException:
                sys.stderr.write(f"in the case of seed {seed + number}:\n")
                raise
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--directory", type=Path, default=None)
    chosen = parser.parse_args()
    happened = fuzz(chosen.cases, chosen.seed, chosen.directory)
    for what, times in sorted(happened.items()):
        sys.stdout.write(f"{times:9,} {what or 'messages passed on'}\n")
    sys.stdout.write(f"{chosen.cases} cases: no byte twice\n")


if __name__ == "__main__":
    main()
