"""What a site checks of a round's beginning by itself: the server may lie about all of it.

What it cannot check by itself, whether others were told the same, clients tell each other
(`fedket.secure.begun`).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from fedket.data.labels import MAX_CLASSES
from fedket.deploy.handshake import MOST
from fedket.errors import ProtocolError
from fedket.experiment.config import ExperimentConfig
from fedket.federated.cohort import sample_cohort
from fedket.federated.trainer import cohort_weights
from fedket.secure.phases import Payload, integer, integers


class Agreed(NamedTuple):
    """What a site goes by for a session.

    Attributes:
        config: The experiment.
        client_id: The site.
        samples: Of every site: itself, those the session began with, later ones as they come.
        seats: Numbers of the sites among which rounds are drawn, in order.
    """

    config: ExperimentConfig
    client_id: int
    samples: dict[int, int]
    seats: Sequence[int]


def agree(
    config: ExperimentConfig,
    client_id: int,
    own: int,
    samples: Mapping[int, int],
    seats: Sequence[int] = (),
) -> Agreed:
    """Return what a site goes by, if what the server says of the sites' samples is right.

    Args:
        config: The experiment.
        client_id: The site.
        own: How many samples it has.
        samples: Site -> how many samples the server says it has.
        seats: Numbers of the sites that take part, in order; none: those from 0.

    Raises:
        ProtocolError: The server is wrong about this site.
    """
    if (said := samples.get(client_id)) != own:
        raise ProtocolError(
            f"the server says that this site has {said} samples, it has {own}: start the run again"
        )
    return Agreed(config, client_id, dict(samples), seats or range(config.num_clients))


def check_round(agreed: Agreed, round_num: int, samples: Mapping[int, int]) -> None:
    """Check who is in a round, and how many samples they have.

    Raises:
        ProtocolError: The round is not one that was agreed.
    """
    config, me = agreed.config, agreed.client_id
    if round_num < 1 or me not in samples:
        raise ProtocolError(f"round {round_num} of sites {list(samples)} is none of site {me}'s")
    places = sample_cohort(config.seed, round_num, config.num_clients, config.cohort_size)
    drawn = [agreed.seats[place] for place in places.tolist()]
    if strangers := set(samples) - set(drawn):
        raise ProtocolError(
            f"the server names sites {sorted(strangers)} in round {round_num}, for which seed "
            f"{config.seed} draws {drawn}"
        )
    for client_id, count in samples.items():
        if (known := agreed.samples.setdefault(client_id, count)) != count:
            whose = "this site" if client_id == me else f"site {client_id}"
            raise ProtocolError(
                f"the server says in round {round_num} that {whose} has {count} samples; "
                f"{known} were agreed for the session"
            )


def sizes_in(payload: Payload) -> tuple[int, int]:
    """Return the classes of a session, and the samples of its largest site, as a message says.

    Raises:
        ProtocolError: No model has so many classes, or no site so many samples.
    """
    classes, largest = integer(payload, "classes"), integer(payload, "largest")
    if not 0 < classes <= MAX_CLASSES or not 0 < largest <= MOST:
        raise ProtocolError(
            f"the server begins a session of {classes} classes, 1 to {MAX_CLASSES} can be, and "
            f"{largest} samples at the largest site, 1 to {MOST} can be"
        )
    return classes, largest


def samples_in(payload: Payload, sites: str) -> dict[int, int]:
    """Return site -> number of samples, as a message says.

    Args:
        payload: The message.
        sites: Field with the sites; their numbers are in `samples`.

    Raises:
        ProtocolError: The message makes no sense.
    """
    ids, counts = integers(payload, sites), integers(payload, "samples")
    sound = all(0 < count <= MOST for count in counts) and min(ids, default=-1) >= 0
    if not sound or len(ids) != len(counts):
        raise ProtocolError(
            f"a message about {len(ids)} sites came with {len(counts)} numbers of samples, which "
            f"must be 1 to {MOST}; both sides must run the same version of fedket"
        )
    return dict(zip(ids, counts, strict=True))


def shares_of(cohort: Sequence[int], samples: Mapping[int, int]) -> tuple[float, ...]:
    """Return each site's share of the cohort's samples, rounded as by the engines that simulate."""
    counts = np.array([samples[i] for i in cohort])
    return tuple(cohort_weights(counts, np.ones(len(cohort), dtype=bool)).tolist())
