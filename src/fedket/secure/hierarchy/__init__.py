"""Masked sums of groups of groups, for cohorts in which one late client must not end the round."""
