"""Statistics as sites sum them: the experiment without its transforms, and nothing trained.

What a site does beyond a training round: it answers a few rounds, once, to the same sites in all of
them, and to all of these or none.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from fedket.deploy.agreed import shares_of
from fedket.deploy.deployable import masking_of
from fedket.deploy.files import SiteFile
from fedket.errors import ConfigError, ProtocolError
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.run_directory import config_hash
from fedket.federated.strategies import fed_avg
from fedket.secure import Protocol as SumProtocol
from fedket.secure.begun import Begun
from fedket.secure.sides import Give
from fedket.statistics.federated import ROUNDS, WORD_BITS, exact, template_of
from fedket.statistics.grids import first_grid
from fedket.statistics.tally import EDGES, Grid, Layout, layout_of, tally
from fedket.types import Contribution, Dataset, RoundContext, Strategy


@runtime_checkable
class Summed(Protocol):
    """What sites and server agree on before rounds: `fedket.deploy.site_trainer.Task`, or this."""

    @property
    def config(self) -> ExperimentConfig:
        """The experiment."""
        ...

    @property
    def strategy(self) -> Strategy:
        """Its strategy."""
        ...

    @property
    def protocol(self) -> SumProtocol:
        """How contributions become a sum."""
        ...

    @property
    def template(self) -> Contribution:
        """Shapes and types of a contribution."""
        ...

    @property
    def num_values(self) -> int:
        """Values of a contribution."""
        ...

    def round(
        self,
        round_num: int,
        cohort: tuple[int, ...],
        samples: Mapping[int, int],
        graph_seed: bytes = b"",
    ) -> RoundContext:
        """What everybody knows of a round."""
        ...


class StatisticsTask(NamedTuple):
    """A federation's statistics; see `Summed`.

    Attributes:
        config: From `statistics_experiment`.
        layout: What the integers are.
        protocol: How they become a sum.
        strategy: None is used.
    """

    config: ExperimentConfig
    layout: Layout
    protocol: SumProtocol
    strategy: Strategy

    @property
    def template(self) -> Contribution:
        """Shape and type of a contribution."""
        return template_of(self.layout)

    @property
    def num_values(self) -> int:
        """Integers of a contribution."""
        return self.layout.num_words

    def round(
        self,
        round_num: int,
        cohort: tuple[int, ...],
        samples: Mapping[int, int],
        graph_seed: bytes = b"",
    ) -> RoundContext:
        """What everybody knows of a round."""
        shares = shares_of(cohort, samples)
        return RoundContext(self.config.seed, round_num, cohort, shares, graph_seed=graph_seed)


def statistics_experiment(config: ExperimentConfig) -> ExperimentConfig:
    """The experiment whose rounds are statistics: its data as they are, all sites, wider words."""
    values = {
        "transform": (),
        "privacy": None,
        "aggregation": config.aggregation.model_copy(update={"bits": WORD_BITS}),
        "federation": config.federation.model_copy(
            update={"rounds": ROUNDS, "clients_per_round": 0}
        ),
    }
    return config.model_copy(update=values)


def check_statistics(file: SiteFile) -> None:
    """Check that a site takes part in statistics.

    Raises:
        ConfigError: Its operator has not allowed them.
    """
    if not file.statistics:
        raise ConfigError(
            f"site {file.name} takes no part in statistics; `statistics = true` in its site.toml "
            "allows them, and the next job sees it"
        )


def statistics_fingerprint(config: ExperimentConfig) -> str:
    """What tells statistics of an experiment from its rounds, and from another's."""
    return f"statistics-{config_hash(statistics_experiment(config))}"


def make_statistics_task(
    config: ExperimentConfig, features: tuple[int, ...], num_classes: int, min_sites: int = 2
) -> StatisticsTask:
    """Return what is summed; arguments as in `fedket.deploy.site_trainer.make_task`.

    Args:
        config: From `statistics_experiment`.
        features: Shape of a sample.
        num_classes: Classes of the whole federation.
        min_sites: Fewest sites in a sum.
    """
    protocol = exact(masking_of(config, min_sites))
    return StatisticsTask(config, layout_of(features, num_classes), protocol, fed_avg())


class StatisticsTrainer:
    """A site's part: counts instead of training.

    Args:
        task: What is summed.
        dataset: The site's own samples.
    """

    def __init__(self, task: StatisticsTask, dataset: Dataset) -> None:
        self._task, self._dataset = task, dataset
        self._cohort: tuple[int, ...] = ()

    def contribute(
        self,
        model: bytes,
        context: RoundContext,
        remembered: int = 0,
    ) -> Contribution:
        """Return the site's integers.

        Args:
            model: What the server asks for, from `pack_grid`.
            context: The round.
            remembered: Not used.

        Raises:
            ProtocolError: This would be another round, or of other sites, than statistics are.
        """
        layout, round_num = self._task.layout, context.round_num
        grid = unpack_grid(model, layout)
        first = round_num == 1
        if round_num > ROUNDS or grid.counted != first or grid.measured != (round_num == ROUNDS):
            raise ProtocolError(f"round {round_num} asks for what statistics do not have there")
        if first and not np.array_equal(grid.edges, first_grid(layout).edges):
            raise ProtocolError("statistics begin with the bins that everybody knows")
        self._cohort = context.client_ids if first else self._cohort
        if context.client_ids != self._cohort:
            raise ProtocolError(
                f"statistics began with sites {list(self._cohort)}, now they would be of "
                f"{list(context.client_ids)}: the difference would show single sites"
            )
        return tally(self._dataset.x_train, self._dataset.y_train, layout, grid)


def statistics_parts(
    config: ExperimentConfig,
    dataset: Dataset,
    client_id: int,  # noqa: ARG001 - the same signature as `training_parts`
    classes: int,
    largest: int,  # noqa: ARG001
    min_sites: int,
    folder: Path | None,  # noqa: ARG001
) -> tuple[StatisticsTask, StatisticsTrainer]:
    """Return a site's task and what it does in a round, for a session of statistics."""
    task = make_statistics_task(config, dataset.x_train.shape[1:], classes, min_sites)
    return task, StatisticsTrainer(task, dataset)


def to_all_or_none(give: Give) -> Give:
    """Return a site's memory that also refuses a sum without one of the round's sites."""

    def gave(begun: Begun, group: tuple[int, ...] | None) -> None:
        if group is not None and group != (cohort := begun.context.client_ids):
            raise ProtocolError(f"statistics are of sites {list(cohort)} together, or of none")
        give(begun, group)

    return gave


def pack_grid(grid: Grid) -> bytes:
    """What a round of statistics begins with."""
    return bytes([grid.counted, grid.measured]) + grid.edges.astype("<f8").tobytes()


def unpack_grid(data: bytes, layout: Layout) -> Grid:
    """Undo `pack_grid`.

    Raises:
        ProtocolError: There are no increasing, finite edges for each column.
    """
    if len(data) == 2 + 8 * layout.columns * EDGES and max(data[:2]) <= 1:
        edges = np.frombuffer(data[2:], "<f8").astype(np.float64).reshape(-1, EDGES)
        if np.isfinite(edges).all() and (np.diff(edges) > 0).all():
            return Grid(edges, bool(data[0]), bool(data[1]))
    raise ProtocolError("a round of statistics begins with no bins that this site can use")
