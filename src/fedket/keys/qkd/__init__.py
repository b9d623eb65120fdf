"""Simulated quantum key distribution: key rates, links that really distil, networks, a key source.

From photons to pads: `mdi`, `kato`, `finite_key` and `bb84` say how much key the physics allow;
`cascade`, `toeplitz` and `conversation` make it from raw bits; `link` joins the two over simulated
clicks; `network` and `source` feed rounds of a federation. Nothing here protects data: see
`source`.
"""
