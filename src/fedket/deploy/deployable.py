"""Which experiments can run on sites, and why others are simulated only."""

from fedket.bridges.keys import DeviceKeys
from fedket.data.regression import DiabetesConfig
from fedket.deploy.kit import FEDERATION, SITE
from fedket.errors import ConfigError
from fedket.experiment.aggregation import check_aggregation, protocol_of
from fedket.experiment.config import ExperimentConfig
from fedket.federated.gossip import WITH_A_SERVER
from fedket.secure import Protocol


def masking_of(config: ExperimentConfig, min_sites: int = 2) -> Protocol:
    """Return how the updates of sites become a sum.

    Args:
        config: The experiment.
        min_sites: Fewest sites in a sum, whatever the protocol could do.

    Raises:
        ConfigError: They would leave their site unmasked.
    """
    if config.aggregation.kind == "grouped":
        raise ConfigError(
            'aggregation.kind = "grouped" is simulated only: sites form one sum a round; use '
            '"pairwise_masks" or "shared_masks"'
        )
    protocol = protocol_of(config)
    if protocol is None or not protocol.takes_key:
        raise ConfigError(
            f'aggregation.kind is "{config.aggregation.kind}"; nothing but masked words leaves a '
            'site: use "pairwise_masks", or "shared_masks" where sites may fall silent'
        )
    if not protocol.opens:
        raise ConfigError(
            f'aggregation.kind = "{config.aggregation.kind}" is simulated only: a server that dies '
            'could not know which groups it had opened; use "pairwise_masks" or "shared_masks"'
        )
    return protocol._replace(least=max(protocol.least, min_sites))


def check_cohorts(config: ExperimentConfig, min_sites: int) -> None:
    """Check that rounds of an experiment have sites enough for a sum.

    Raises:
        ConfigError: They have not.
    """
    if config.cohort_size < min_sites:
        raise ConfigError(
            f"{config.cohort_size} sites take part in a round, {min_sites} must: of two, each sees "
            "the other's update. Have more, or let all parties accept fewer: `min_sites` in "
            f"{FEDERATION} and in every {SITE}, `deploy init --min-sites`"
        )


def check_deployable(config: ExperimentConfig, sites: int) -> None:
    """Check that an experiment can run on this number of sites.

    Raises:
        ConfigError: It cannot.
    """
    protocol = masking_of(config)
    if config.num_clients != sites:
        raise ConfigError(
            f"partition.num_clients is {config.num_clients}, the federation has {sites} "
            "sites; make them equal"
        )
    if config.graph is not None:
        raise ConfigError(WITH_A_SERVER)
    check_aggregation(config)
    if config.attack is not None:
        raise ConfigError("[attack] simulates attackers, which sites are not; leave it out")
    if config.conditions is not None:
        raise ConfigError(
            "[conditions], and asynchronous rounds of such clients, simulate what real sites have "
            "themselves; leave the tables out"
        )
    if isinstance(config.data, DiabetesConfig) or getattr(config.data, "regression", None):
        raise ConfigError("sites classify: a regression is simulated only; use labels 0, 1, ...")
    plan, fraction = config.federation, getattr(config.data, "validation_fraction", None)
    if any(asked is not None for asked in (fraction, plan.early_stopping, plan.best_by)):
        raise ConfigError(
            "a validation split would be held out at the server from samples that sites do not "
            "send; leave data.validation_fraction, federation.early_stopping and best_by out"
        )
    if not protocol.authenticated:
        raise ConfigError(
            "aggregation.authenticate is false; messages between sites need MACs, leave it out"
        )
    if isinstance(config.model, DeviceKeys) and config.model.asks_for_device:
        raise ConfigError(
            "the model's circuit asks for a device, and a site lends nobody its devices or "
            'accounts: use model.engine = "native" without a backend'
        )
    if config.federation.checkpoint_every != 1:
        raise ConfigError(
            f"federation.checkpoint_every is {config.federation.checkpoint_every}; a server must "
            "not forget rounds that sites have trained: make it 1, or leave it out"
        )
    if config.keys.starvation or config.federation.sparsify is not None:
        raise ConfigError(
            "keys.starvation and federation.sparsify are for simulations; deployed sites send "
            "whole updates, and a federation waits for key until keys.deadline_s, and then goes on "
            "without the site that has none"
        )
