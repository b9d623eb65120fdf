"""The durable pad store: one party's key on disk, each byte used once or never."""

from fedket.keys.store.audit import Event, Mode, Purpose
from fedket.keys.store.connect import connect
from fedket.keys.store.disk import DiskFullError
from fedket.keys.store.pads import PadStore
from fedket.keys.store.source import StoreKeySource
from fedket.keys.store.status import StoreStatus, StreamStatus, read_status
from fedket.keys.store.verify import Verification, verify

__all__ = [
    "DiskFullError",
    "Event",
    "Mode",
    "PadStore",
    "Purpose",
    "StoreKeySource",
    "StoreStatus",
    "StreamStatus",
    "Verification",
    "connect",
    "read_status",
    "verify",
]
