"""What all sites' samples are like, from masked sums: counts, labels, means, quantiles."""
