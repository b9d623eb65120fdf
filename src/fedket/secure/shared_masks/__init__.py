"""Protocol B: a sum under shared self-masks, see `fedket.secure.shared_masks.server`."""
