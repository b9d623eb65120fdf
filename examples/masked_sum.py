"""What the server sees: the masked words of three clients look random, their sum does not.

Run it with `python examples/masked_sum.py`.
"""

import numpy as np

import fedket as fk
from fedket.types import RoundContext


def main() -> None:
    """Add up three vectors under pairwise one-time pads."""
    updates = np.array([[0.5, -0.2, 0.1], [0.3, 0.4, 0.1], [-0.1, 0.1, 0.4]], np.float32)
    weights = (0.5, 0.25, 0.25)
    contributions = np.array(weights, np.float32)[:, None] * updates
    context = RoundContext(seed=0, round_num=1, client_ids=(0, 1, 2), weights=weights)
    reducer = fk.masked_sum(16, "headroom", 1.0, fk.OsRandomSource())
    total, traffic = reducer(contributions, context)
    print("sum of updates ", contributions.sum(axis=0))
    print("sum under masks", total)
    print(f"{traffic.upload_bytes} bytes uploaded, {traffic.key_bits} key bits spent")


if __name__ == "__main__":
    main()
