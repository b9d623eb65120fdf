"""What a curious server reads out of what it sees of a round: samples, and who was in it.

`views` is what it sees: an update, a sum of some, a sum with noise, words behind a mask.
`inversion` looks for the samples, `membership` asks of a sample whether it was trained on.
"""

from fedket.leakage.inversion import Inversion, invert_gradients, match_guesses
from fedket.leakage.membership import auc, gradient_scores
from fedket.leakage.views import client_gradients, clipped, group_sums, noisy

__all__ = [
    "Inversion",
    "auc",
    "client_gradients",
    "clipped",
    "gradient_scores",
    "group_sums",
    "invert_gradients",
    "match_guesses",
    "noisy",
]
