"""Two ends of a stream, pretended KMEs, and a way between them that loses what it is told to."""

import hashlib
import uuid
from collections.abc import Iterable, Iterator

from fedket.keys.etsi014.agreement import Announce, Confirm, read_message
from fedket.keys.etsi014.answers import DeliveredKey
from fedket.keys.etsi014.client import Kme
from fedket.keys.etsi014.errors import KmeRefusedError, KmeUnreachableError, PeerSilentError
from fedket.keys.etsi014.fetch import MasterEnd, SlaveEnd
from fedket.keys.etsi014.models import Status
from fedket.keys.material import KeyMaterial
from fedket.types import Secret

STREAM = (0, 3)
LOSSES = ("message", "reply", "late", "twice", "old", "enc_keys", "dec_keys")
"""Ways in which one step may go wrong; "" is none."""


def status(**changed: object) -> Status:
    """What a KME with few and short keys says."""
    values = {
        "source_KME_ID": "kme-a",
        "target_KME_ID": "kme-b",
        "master_SAE_ID": "alice",
        "slave_SAE_ID": "bob",
        "key_size": 128,
        "stored_key_count": 100,
        "max_key_count": 1000,
        "max_key_per_request": 3,
        "max_key_size": 128,
        "min_key_size": 64,
        "max_SAE_ID_count": 0,
    }
    return Status.model_validate(values | changed)


class Deposits:
    """A pretended pad store, whose keys are seen by the law `check`."""

    def __init__(self, check) -> None:
        self.held: list[tuple[str, bytes]] = []
        self.check = check

    def end(self, stream: tuple[int, int]) -> int:
        assert stream == STREAM
        return sum(len(secret) for _, secret in self.held)

    def deposit(self, stream, key_id: str, secret: Secret, start=None, keys=()) -> None:
        assert start == self.end(stream)
        self.held.append((key_id, secret.reveal()))
        self.check()


class LossyLink:
    """`fates` says step by step (a call of a KME, or an exchange) what goes wrong."""

    def __init__(self, fates: Iterable[str] = (), patience: int = 200) -> None:
        self.fates: Iterator[str] = iter(fates)
        self.stores = {end: Deposits(self.check_prefix) for end in ("master", "slave")}
        self.waiting: dict[str, KeyMaterial] = {}
        self.made = 0
        self.sent: list[str] = []
        self.late: list[str] = []
        self.pauses = [0.0] * patience
        kme = Kme(lambda _: status(), self.enc_keys, self.dec_keys)
        self.slave = SlaveEnd(STREAM, kme, "alice", self.stores["slave"])
        self.kme = kme
        self.master = self.new_master()

    def new_master(self) -> MasterEnd:
        return MasterEnd(
            STREAM,
            self.kme,
            "bob",
            self.exchange,
            self.stores["master"],
            self.pauses,
            lambda _: None,
        )

    def check_prefix(self) -> None:
        """The law that holds at every moment."""
        master, slave = self.stores["master"].held, self.stores["slave"].held
        assert master == slave[: len(master)]
        assert len(slave) <= len(master) + 1

    def enc_keys(self, peer: str, number: int, size_bits: int) -> tuple[DeliveredKey, ...]:
        keys = [self.new_key(size_bits) for _ in range(number)]
        self.waiting |= {key.key_id: key.secret for key in keys}
        if next(self.fates, "") == "enc_keys":
            raise KmeUnreachableError("lost")
        return tuple(keys)

    def dec_keys(self, peer: str, key_ids, size_bits: int) -> tuple[DeliveredKey, ...]:
        if any(key_id not in self.waiting for key_id in key_ids):
            raise KmeRefusedError("one or more keys specified are not found on KME")
        keys = tuple(DeliveredKey(key_id, self.waiting.pop(key_id)) for key_id in key_ids)
        if next(self.fates, "") == "dec_keys":
            raise KmeUnreachableError("lost")
        return keys

    def new_key(self, size_bits: int) -> DeliveredKey:
        self.made += 1
        secret = hashlib.sha256(str(self.made).encode()).digest()[: size_bits // 8]
        return DeliveredKey(str(uuid.UUID(int=self.made)), KeyMaterial(secret))

    def exchange(self, message):
        fate, text = next(self.fates, ""), message.model_dump_json()
        self.sent.append(text)
        if fate == "message":
            raise PeerSilentError("lost")
        if fate == "late":
            self.late.append(text)
            raise PeerSilentError("late")
        if fate == "old":
            for old in self.sent[:-1]:
                self.deliver(old)
        reply = self.deliver(text)
        if fate == "reply":
            raise PeerSilentError("reply lost")
        for straggler in self.late:
            self.deliver(straggler)
        self.late.clear()
        return self.deliver(text) if fate == "twice" else reply

    def deliver(self, text: str):
        reply = self.slave.answer(read_message(Announce, text))
        return read_message(Confirm, reply.model_dump_json())

    def connect(self) -> None:
        """What the pad stores do: the end with more withdraws the rest."""
        master, slave = self.stores["master"].held, self.stores["slave"].held
        del slave[len(master) :]
