"""Who is who in a federation: key pairs, certificates, and the signed list of its members."""
