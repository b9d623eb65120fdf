"""Many runs of one experiment: which they are, running them, and the tables of what they found."""
