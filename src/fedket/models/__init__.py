"""Models: pairs of pure functions `init` and `apply` (see `fedket.types.Model`)."""
