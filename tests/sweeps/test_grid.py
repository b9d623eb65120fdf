"""A grid: every combination, checked before anything runs; keys of another kind stay out."""

import pytest

from fedket.errors import ConfigError
from fedket.experiment.grid import parse_grid, settings_of
from fedket.sweeps.plan import plan


def test_words_of_a_command_line_are_values():
    grid = parse_grid(["a.b=1,2.5,text", "a.c=[3, 6],[1]", 'a.d="x,y",true'])
    assert grid == {"a.b": (1, 2.5, "text"), "a.c": ([3, 6], [1]), "a.d": ("x,y", True)}


@pytest.mark.parametrize("text", ["", "a.b", "a.b=", "a.b=1,,2", ".b=1", "a.b=1,"])
def test_what_is_no_list_of_values_is_refused(text):
    with pytest.raises(ConfigError, match="--grid takes TABLE"):
        parse_grid([text])


def test_every_combination_is_a_run_of_its_own(tiny, tmp_path):
    grid = {"partition.num_clients": [2, 3], "optimizer.learning_rate": [0.1, 0.2]}
    runs = plan(tiny(), grid, 2, tmp_path)
    found = {
        (r.config.partition.num_clients, r.config.optimizer.learning_rate, r.config.seed)
        for r in runs
    }
    assert found == {(n, rate, seed) for n in (2, 3) for rate in (0.1, 0.2) for seed in (0, 1)}
    assert len({run.directory for run in runs}) == len({run.label for run in runs}) == 8
    assert runs[0].directory == tmp_path / "num_clients=2,learning_rate=0.1" / "seed-0"


def test_another_kind_keeps_what_it_has_alike(tiny):
    """`num_clients` is of all partitions; FedAdam's rate is FedYogi's, not FedAvgM's."""
    config = tiny("strategy.kind=fed_adam", "strategy.learning_rate=0.3", "partition.num_clients=5")
    kinds = ("fed_adam", "fed_yogi", "fed_avg", "fed_avg_m")
    grid = {"strategy.kind": kinds, "partition.kind": ("iid", "dirichlet")}
    found = {
        (s.config.strategy.kind, s.config.partition.kind): s for s in settings_of(config, grid)
    }
    assert {s.config.partition.num_clients for s in found.values()} == {5}
    rates = {kind: found[kind, "iid"].config.strategy for kind in kinds}
    assert rates["fed_adam"].learning_rate == rates["fed_yogi"].learning_rate == 0.3
    assert rates["fed_avg_m"].learning_rate == 1.0
    said = "strategy.learning_rate = 0.3 of fed_adam, where it is fed_avg"
    assert found["fed_avg", "dirichlet"].left_out == (said,)
    assert found["fed_adam", "iid"].left_out == ()


def test_names_of_folders_are_safe_and_distinct(tiny, tmp_path):
    grid = {"model.hidden": [[3], [4, 5], list(range(1, 60))], "data.path": ["a/b", "a b"]}
    names = [run.directory.parent.name for run in plan(tiny(), grid, 1, tmp_path)]
    assert len(set(names)) == 6
    assert all(len(name) <= 100 and "/" not in name and " " not in name for name in names)


@pytest.mark.parametrize(
    ("grid", "seeds", "complaint"),
    [
        ({"partition.alhpa": [1]}, 1, "partition.alhpa"),
        ({"strategy.kind": ["fed_avg", "fed_avgg"]}, 1, "did you mean `fed_avg`"),
        ({"federation.clients_per_round": [2, 99]}, 1, "clients_per_round is 99"),
        ({"seed": [1, 2]}, 1, "given by `seeds`"),
        ({"name": ["a"]}, 1, "decides nothing"),
        ({"federation.rounds": []}, 1, "should be a list of values"),
        ({"federation.rounds": "12"}, 1, "should be a list of values"),
        ({"federation.rounds": [1, 1]}, 1, "a value twice"),
        ({"federation.rounds": range(1, 20_000)}, 1, "10000 at most"),
        ({}, 0, "how many, from 1"),
        ({}, (0, 0), "how many, from 1"),
        ({}, (-1,), "how many, from 1"),
        ({}, 20_000, "10000 runs at most"),
    ],
)
def test_what_does_not_work_out_is_said_before_anything_runs(
    grid, seeds, complaint, tiny, tmp_path
):
    with pytest.raises(ConfigError, match=complaint) as caught:
        plan(tiny(), grid, seeds, tmp_path / "sweep")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "sweep").exists()
