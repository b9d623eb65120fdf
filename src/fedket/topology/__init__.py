"""Who is whose neighbour in a federation without a centre."""
