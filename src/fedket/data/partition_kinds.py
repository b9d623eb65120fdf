"""The ways to deal samples to clients, as an experiment names them."""

from typing import Any, Literal

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

    def dealing(self, context: Context) -> dict[str, Any]:
        """The arguments that every rule of `fedket.data.partition` takes."""
        clients, fewest = self.num_clients, self.min_samples
        return {"num_clients": clients, "rng": context.rng, "min_samples": fewest}


class IidConfig(PartitionConfig):
    """Shuffled samples, dealt evenly."""

    kind: Literal["iid"] = "iid"

    def build(self, context: Context) -> Partition:
        """The partition."""
        return iid(len(context.samples.y_train), **self.dealing(context))


class DirichletConfig(PartitionConfig):
    """Skewed label mixtures (arXiv:1905.12022)."""

    kind: Literal["dirichlet"] = "dirichlet"
    alpha: PositiveFloat = 0.5
    """Concentration; small is skewed."""

    def build(self, context: Context) -> Partition:
        """The partition."""
        return dirichlet(context.samples.y_train, alpha=self.alpha, **self.dealing(context))


class LabelShardsConfig(PartitionConfig):
    """A few runs of the label-sorted samples for each client (arXiv:1602.05629)."""

    kind: Literal["label_shards"] = "label_shards"
    shards_per_client: PositiveInt = 2
    """Runs of samples dealt to each client."""

    def build(self, context: Context) -> Partition:
        """The partition."""
        shards, dealing = self.shards_per_client, self.dealing(context)
        return label_shards(context.samples.y_train, shards_per_client=shards, **dealing)


class QuantityConfig(PartitionConfig):
    """Skewed sizes (arXiv:2102.02079)."""

    kind: Literal["quantity"] = "quantity"
    alpha: PositiveFloat = 0.5
    """Concentration; small is skewed."""

    def build(self, context: Context) -> Partition:
        """The partition."""
        num_samples = len(context.samples.y_train)
        return quantity_skew(num_samples, alpha=self.alpha, **self.dealing(context))


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
        return by_group(dataset.groups, **self.dealing(context))
