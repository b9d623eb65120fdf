"""Statistics of sites: those of all samples together, over the same sites in all rounds."""

from types import SimpleNamespace

import numpy as np
import pytest
from local_sites import KINDS, LocalMembers, SharedKeys, experiment, site_parts

from fedket import federated_statistics
from fedket.deploy.files import SiteFile
from fedket.deploy.given import GivenUpdates
from fedket.deploy.rounds import SiteRounds
from fedket.deploy.site import Site
from fedket.deploy.site_process import SiteProcess
from fedket.deploy.statistics import pooled
from fedket.deploy.statistics_task import (
    StatisticsTrainer,
    check_statistics,
    make_statistics_task,
    pack_grid,
    statistics_experiment,
    statistics_fingerprint,
    statistics_parts,
    to_all_or_none,
    unpack_grid,
)
from fedket.errors import ConfigError, ProtocolError, RoundLostError
from fedket.experiment.build import build_experiment
from fedket.experiment.run_directory import config_hash
from fedket.keys import OsRandomSource
from fedket.secure.phases import Reply
from fedket.statistics.grids import first_grid
from fedket.statistics.tally import layout_of


@pytest.fixture(scope="module")
def built():
    return build_experiment(experiment(KINDS["masked"]))


def federation(config, built, folder, silent=None):
    """Sites that only count, and the server's rounds with them."""
    about, keys, sites = statistics_experiment(config), SharedKeys(OsRandomSource()), []
    for i, part in enumerate(site_parts(built)):
        own = folder / f"{i}"
        own.mkdir(exist_ok=True)
        fingerprint = statistics_fingerprint(config)
        give = to_all_or_none(GivenUpdates(own, fingerprint).give)
        how = give, own, 3, statistics_parts, fingerprint
        sites.append(Site(f"site-{i}", i, about, part, keys, *how))
        sites[-1].handle("handshake", {"experiment": fingerprint})
    members = LocalMembers(sites, silent)
    for site in sites:
        site.handle("handshake", {"experiment": statistics_fingerprint(config)})
    members.open("counting")
    features = built.dataset.x_train.shape[1:]
    task = make_statistics_task(about, features, built.dataset.num_classes, 3)
    return task, SiteRounds(task, members, keys, "counting"), sites


@pytest.mark.parametrize(("kind", "smallest"), [("masked", 5), ("shared", 40)])
def test_sites_find_what_one_machine_finds(kind, smallest, tmp_path, built):
    config = experiment(KINDS[kind])
    task, rounds, _ = federation(config, built, tmp_path)
    found = pooled(task, rounds, smallest)
    alone = federated_statistics(built.dataset, built.partition, smallest=smallest)
    assert found == alone._replace(name=config.name, class_names=())
    assert found.samples == len(built.dataset.y_train)
    # Once more, with the same sites and samples, says nothing new and is allowed.
    task, rounds, _ = federation(config, built, tmp_path)
    assert pooled(task, rounds, smallest) == found


@pytest.mark.parametrize("action", ["ready", "upload"])
def test_without_one_of_the_sites_there_are_none(action, tmp_path, built):
    config = experiment(KINDS["masked"])
    silent = lambda site, asked: site == 2 and asked == action  # noqa: E731
    task, rounds, _ = federation(config, built, tmp_path, silent)
    with pytest.raises(RoundLostError):
        pooled(task, rounds)


def test_a_site_answers_only_what_statistics_ask(tmp_path, built):
    config = statistics_experiment(experiment(KINDS["masked"]))
    task = make_statistics_task(config, built.dataset.x_train.shape[1:], 3)
    trainer = StatisticsTrainer(task, next(site_parts(built)))
    grid = first_grid(task.layout)
    samples = dict.fromkeys(range(4), 50)
    narrow = grid._replace(edges=grid.edges / 4096)
    for round_num, asked in ((1, narrow), (1, grid._replace(measured=True)), (2, grid), (5, grid)):
        with pytest.raises(ProtocolError):
            trainer.contribute(pack_grid(asked), task.round(round_num, (0, 1, 2), samples))
    trainer.contribute(pack_grid(grid), task.round(1, (0, 1, 2, 3), samples))
    finer = grid._replace(counted=False)
    with pytest.raises(ProtocolError, match="the difference would show single sites"):
        trainer.contribute(pack_grid(finer), task.round(2, (0, 1, 2), samples))
    trainer.contribute(pack_grid(finer), task.round(2, (0, 1, 2, 3), samples))


def test_a_process_that_lives_on_opens_its_files_anew_for_another_question(tmp_path, monkeypatch):
    opened, keys = [], SimpleNamespace(close=lambda: None)
    site = SimpleNamespace(handle=lambda action, payload: Reply({}))

    def files(process):
        opened.append(process._greeted)
        return None, keys, site

    monkeypatch.setattr(SiteProcess, "_opened", files)
    process = SiteProcess(lambda: tmp_path, lambda names: None, lambda news: None)
    for asked in ("count", "count", "train", "train"):
        assert process.phase("handshake", {"experiment": asked}) == Reply({})
    assert opened == ["count", "train"]


def test_bins_arrive_as_they_were_sent_or_not_at_all():
    layout = layout_of((5,), 2)
    grid = first_grid(layout)
    sent = pack_grid(grid)
    back = unpack_grid(sent, layout)
    np.testing.assert_array_equal(back.edges, grid.edges)
    assert back[1:] == grid[1:]
    wrong = np.array(grid.edges)
    wrong[3, 7] = np.nan
    for data in (b"", sent[:-1], b"\x02" + sent[1:], pack_grid(grid._replace(edges=wrong))):
        with pytest.raises(ProtocolError, match="no bins"):
            unpack_grid(data, layout)


def test_statistics_are_none_of_the_run_s_rounds_and_asked_of_sites_that_allow_them():
    config = experiment(KINDS["masked"])
    assert statistics_fingerprint(config) != config_hash(config)
    file = SiteFile.model_construct(name="ada", statistics=False)
    with pytest.raises(ConfigError, match="`statistics = true` in its site"):
        check_statistics(file)
    check_statistics(SiteFile.model_construct(name="ada", statistics=True))
