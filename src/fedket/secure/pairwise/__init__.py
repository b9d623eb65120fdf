"""Protocol A: a sum under pairwise one-time pads, see `fedket.secure.pairwise.server`."""
