"""Who takes part in a round."""

import numpy as np

from fedket.errors import ConfigError
from fedket.rng import Purpose


def sample_cohort(seed: int, round_num: int, num_clients: int, cohort_size: int) -> np.ndarray:
    """Draw clients uniformly without replacement; a function of (seed, round).

    Args:
        seed: Seed of the experiment.
        round_num: Round number, from 1.
        num_clients: Number of clients in all.
        cohort_size: Clients to draw; all of them when equal to `num_clients`.

    Returns:
        Client ids in ascending order, shape (cohort_size,), int32.

    Raises:
        ConfigError: If more clients are asked for than there are.
    """
    if not 1 <= cohort_size <= num_clients:
        raise ConfigError(
            f"clients_per_round is {cohort_size}, there are {num_clients} clients; "
            f"use 1 to {num_clients}, or 0 for all"
        )
    if cohort_size == num_clients:
        return np.arange(num_clients, dtype=np.int32)
    rng = np.random.default_rng([seed, int(Purpose.COHORT), round_num])
    chosen = rng.choice(num_clients, cohort_size, replace=False, shuffle=False)
    return np.sort(chosen).astype(np.int32)
