"""The ways to deal samples to clients, as an experiment names them."""

from typing import Literal

from fedket.data.partition import by_group, dirichlet, iid, label_shards, quantity_skew
from fedket.errors import ConfigError
from fedket.schema import PositiveFloat, PositiveInt
from fedket.section import Context, Section
from fedket.types import Partition


class PartitionConfig(Section):
    """Keys of every partition, a user's own included."""

    num_clients: PositiveInt = 10
    min_samples: PositiveInt = 1
    """Fewest samples a client may hold."""


class IidConfig(PartitionConfig):
    """Shuffled samples, dealt evenly."""

    kind: Literal["iid"] = "iid"

    def build(self, context: Context) -> Partition:
        """The partition."""
        return iid(
            len(context.samples.y_train),
            num_clients=self.num_clients,
            rng=context.rng,
            min_samples=self.min_samples,
        )


class DirichletConfig(PartitionConfig):
    """Skewed label mixtures (arXiv:1905.12022)."""

    kind: Literal["dirichlet"] = "dirichlet"
    alpha: PositiveFloat = 0.5
    """Concentration; small is skewed."""

    def build(self, context: Context) -> Partition:
        """The partition."""
        return dirichlet(
            context.samples.y_train,
            num_clients=self.num_clients,
            alpha=self.alpha,
            rng=context.rng,
            min_samples=self.min_samples,
        )


class LabelShardsConfig(PartitionConfig):
    """A few runs of the label-sorted samples for each client (arXiv:1602.05629)."""

    kind: Literal["label_shards"] = "label_shards"
    shards_per_client: PositiveInt = 2
    """Runs of samples dealt to each client."""

    def build(self, context: Context) -> Partition:
        """The partition."""
        return label_shards(
            context.samples.y_train,
            num_clients=self.num_clients,
            shards_per_client=self.shards_per_client,
            rng=context.rng,
            min_samples=self.min_samples,
        )


class QuantityConfig(PartitionConfig):
    """Skewed sizes (arXiv:2102.02079)."""

    kind: Literal["quantity"] = "quantity"
    alpha: PositiveFloat = 0.5
    """Concentration; small is skewed."""

    def build(self, context: Context) -> Partition:
        """The partition."""
        return quantity_skew(
            len(context.samples.y_train),
            num_clients=self.num_clients,
            alpha=self.alpha,
            rng=context.rng,
            min_samples=self.min_samples,
        )


class GroupsConfig(PartitionConfig):
    """Whole groups (subjects, sites), as the data set has them."""

    kind: Literal["groups"] = "groups"

    def build(self, context: Context) -> Partition:
        """The partition.

        Raises:
            ConfigError: The data set has no groups.
        """
        dataset = context.samples
        if dataset.groups is None:
            raise ConfigError(
                f"partition `groups` needs a group id per sample, data set `{dataset.name}` has "
                "none"
            )
        return by_group(
            dataset.groups,
            num_clients=self.num_clients,
            rng=context.rng,
            min_samples=self.min_samples,
        )
