"""One-time pads: where they come from, and the ledger that lets each byte be used once."""
