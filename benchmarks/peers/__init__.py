"""One module per peer; each runs in an environment of its own, see `benchmarks.setup_peers`."""
