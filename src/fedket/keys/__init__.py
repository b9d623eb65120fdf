"""One-time pads: where they come from, and the ledger that lets each byte be used once."""

from fedket.keys.ledger import PadLedger, PadState, PadTotals
from fedket.keys.material import KeyMaterial
from fedket.keys.os_random import OsRandomSource

__all__ = ["KeyMaterial", "OsRandomSource", "PadLedger", "PadState", "PadTotals"]
