"""Sums that survive attackers: robust rules over clients or over secure groups, and the attacks."""
