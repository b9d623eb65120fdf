"""Where the records of a run go while it runs: experiment trackers, a kind each, `[track]`."""
