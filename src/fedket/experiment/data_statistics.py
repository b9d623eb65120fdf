"""What all clients of an experiment have, before its transforms, as masked sums."""

import numpy as np

from fedket.experiment.aggregation import first_context
from fedket.experiment.build import raw_samples
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.section import build
from fedket.secure import Protocol
from fedket.secure.pairwise.protocol import PairwiseMasksConfig
from fedket.secure.shared_masks.protocol import SharedMasksConfig
from fedket.statistics.federated import WORD_BITS, federated_statistics
from fedket.statistics.pooled import Statistics


def statistics_protocol(config: ExperimentConfig) -> Protocol:
    """How the experiment's clients mask such sums: as their updates, else in pairs."""
    section = config.aggregation
    if not isinstance(section, PairwiseMasksConfig | SharedMasksConfig):
        section = PairwiseMasksConfig(confirm=True)
    context = first_context(config)._replace(cohort_size=config.num_clients)
    return section.model_copy(update={"bits": WORD_BITS}).build(context)


def simulated_statistics(
    config: ExperimentConfig, bounds: tuple[float, float] | None, smallest: int
) -> Statistics:
    """Statistics of an experiment's training samples, dealt to its clients as in a run.

    Key is this machine's, whatever `[keys]` says. Arguments as in `federated_statistics`.
    """
    context = first_context(config)
    dataset = raw_samples(config, context)
    partition = build(config.partition, context._replace(dataset=dataset), list)
    names = tuple(getattr(config.data, "features", None) or ())
    named = names if dataset.x_train.shape[1:] == (len(names),) else ()
    protocol = statistics_protocol(config)
    indices = [np.asarray(own, np.int64) for own in partition]
    return federated_statistics(
        dataset, indices, protocol, bounds=bounds, columns=named, smallest=smallest
    )
