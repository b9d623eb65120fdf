"""The durable pad store: one party's key on disk, each byte used once or never."""

from fedket.keys.store.connect import connect
from fedket.keys.store.disk import DiskFullError
from fedket.keys.store.ledger import Event, KeyPurpose, Mode
from fedket.keys.store.reading import Verification, read_ledger, read_status, verify
from fedket.keys.store.source import StoreKeySource
from fedket.keys.store.store import PadStore

__all__ = [
    "DiskFullError",
    "Event",
    "KeyPurpose",
    "Mode",
    "PadStore",
    "StoreKeySource",
    "Verification",
    "connect",
    "read_ledger",
    "read_status",
    "verify",
]
