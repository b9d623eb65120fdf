"""Key of a round by its number of clients: the same figures as `fedket show` has of one."""

import json
from pathlib import Path

import pytest

from fedket import cli
from fedket.errors import ConfigError
from fedket.experiment.build import build_experiment
from fedket.experiment.facts import count_facts
from fedket.experiment.key_times import key_times
from fedket.experiment.load import load_config
from fedket.experiment.shipped import find_experiment

SIMULATED = ["keys.kind=simulated", "aggregation.kind=pairwise_masks"]


def quickstart(*changes):
    return load_config(find_experiment(Path("quickstart")), changes)


@pytest.mark.parametrize("number", [2, 7, 24])
def test_one_number_of_clients_is_what_its_experiment_says(number):
    (found,) = key_times(quickstart(*SIMULATED), [number])
    config = quickstart(*SIMULATED, f"partition.num_clients={number}")
    facts = count_facts(build_experiment(config))
    feed = facts.key_feed
    assert (found.clients, found.bits_per_pair) == (number, facts.key_bits_per_pair)
    assert found[3:] == (feed.links[0].rate_bps, feed.seconds_per_round, feed.first_key_s)
    between = facts.key_bits_per_round - number * facts.key_bits_per_server_link
    assert found.pairs * found.bits_per_pair == between


def test_one_relay_for_all_takes_as_many_times_longer_as_there_are_links():
    own, shared = (
        key_times(quickstart(*SIMULATED, f"keys.relay_mux={mux}"), [3, 8]) for mux in (1, 0)
    )
    for alone, turn in zip(own, shared, strict=True):
        links = alone.clients * (alone.clients + 1) // 2  # with the server's
        assert turn.seconds_per_round == pytest.approx(links * alone.seconds_per_round, rel=1e-4)
        assert turn.first_key_s == pytest.approx(links * alone.first_key_s)


def test_links_that_give_no_key_never_make_a_round_s():
    (found,) = key_times(quickstart(*SIMULATED, "keys.loss_db=[79.0]"), [3])
    assert (found.rate_bps, found.seconds_per_round, found.first_key_s) == (0.0, None, None)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ((), "has no links that are simulated"),
        (("keys.kind=simulated", "aggregation.kind=quantised"), "takes no key between clients"),
        ((*SIMULATED, "aggregation.bits=4"), "can sum at most"),
    ],
)
def test_what_has_no_such_times_says_so(changes, problem):
    with pytest.raises(ConfigError, match=problem):
        key_times(quickstart(*changes), [200])


def test_the_command_prints_both_for_people_and_for_machines(monkeypatch, capsys):
    command = ["fedket", "qkd", "rounds", "quickstart", "--clients", "3,5"]
    changes = [word for change in SIMULATED for word in ("--set", change)]
    monkeypatch.setattr("sys.argv", [*command, *changes, "--json"])
    assert cli.execute() == 0
    said = json.loads(capsys.readouterr().out)
    assert said["simulated"]
    assert [point["pairs"] for point in said["points"]] == [3, 10]
    monkeypatch.setattr("sys.argv", [*command, *changes])
    assert cli.execute() == 0
    assert "first key after" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", [*command[:-1], "1", *changes])
    assert cli.execute() == 2
    assert "--clients takes 1 to 20 whole numbers from 2 to 1000" in capsys.readouterr().err
