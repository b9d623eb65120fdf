"""Secure aggregation: quantiser, words on the wire, I/O-free protocol phases, reducers."""
