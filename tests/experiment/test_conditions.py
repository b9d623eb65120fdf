"""`[conditions]` of an experiment: numbers, lists, files and distributions, from TOML to report."""

import pytest

from fedket.cli.progress import print_facts
from fedket.errors import ConfigError
from fedket.experiment.build import build_experiment
from fedket.experiment.facts import count_facts
from fedket.experiment.load import dump_config, load_config, parse_config
from fedket.experiment.run import resume_run, start_run
from fedket.record_files import read_rounds
from fedket.report import read_run, write_report
from fedket.report.compare import comparison_page
from fedket.schema import parse_toml
from tests.experiment.tiny import values_of

MIXED = (
    "conditions.availability={kind = 'periodic', period = 6, low = 0.5}",
    "conditions.dropout=0.1",
    "conditions.seconds_per_step={kind = 'lognormal', median = 0.2, every_round = true}",
    "conditions.upload_mbps=[1.0, 2.0, 3.0, 4.0]",
    "conditions.deadline_s=1.5",
)
TABLE = """client, seconds_per_step, download_mbps
3, 0.4, 10
0, 0.1, 20
2, 0.3, 10
1, 0.2, 20
"""


def test_a_resumed_run_meets_the_same_conditions(tiny, tmp_path):
    config = tiny(*MIXED, "federation.rounds=6")
    whole = start_run(config, output=tmp_path / "whole")
    part = start_run(tiny(*MIXED, "federation.rounds=2"), output=tmp_path / "part")
    again = resume_run(part.directory, config=config)
    assert again.summary.parameters_sha256 == whole.summary.parameters_sha256
    rounds = list(read_rounds(whole.directory))
    assert [r.simulated_s for r in rounds] == [r.simulated_s for r in read_rounds(part.directory)]
    assert sum(r.simulated_s for r in rounds) == pytest.approx(whole.summary.simulated_s)
    assert {reason for r in rounds for reason in r.dropped.values()}
    page = write_report([whole.directory]).read_text()
    assert "Simulated time" in page
    assert "Test accuracy by simulated time" in page
    records = [read_run(run.directory) for run in (whole, again)]
    assert "Test accuracy by simulated time" in comparison_page(records)


def test_a_table_of_clients_is_read_by_its_columns_and_kept(blobs, tmp_path):
    (tmp_path / "clients.csv").write_text(TABLE)
    (tmp_path / "mine.toml").write_text(
        dump_config(parse_config(values_of(blobs)))
        + '\n[conditions]\nseconds_per_step = "clients.csv"\n'
        + 'download_mbps = {kind = "csv", file = "clients.csv", column = "download_mbps"}\n'
    )
    config = load_config(tmp_path / "mine.toml")
    assert parse_config(parse_toml(dump_config(config)), folder=tmp_path) == config
    clients = build_experiment(config).clients
    download = 8e-6 * 15 * 4
    steps = 2 * 0.1 + download / 20, 2 * 0.2 + download / 20, 0.6 + download / 10, 0.8
    assert clients.of_round(1).seconds[:3] == pytest.approx(steps[:3])
    outcome = start_run(config, output=tmp_path / "run")
    assert (outcome.directory / "clients.csv").read_text() == TABLE


def test_attendance_and_time_are_told_before_a_run(tiny, capsys):
    """The probability of being there, and the mean of a uniform largest of four."""
    told = (
        "conditions.availability=0.75",
        "conditions.seconds_per_step={kind = 'uniform', low = 1.0, high = 1.0}",
    )
    facts = count_facts(build_experiment(tiny(*told)))
    assert "of 4 clients are there in a round" in facts.conditions
    assert "it takes 2 s, 95 % of rounds 2 s at most" in facts.conditions
    assert float(facts.conditions.split()[0]) == pytest.approx(3, abs=0.3)
    print_facts(facts, "")
    assert facts.conditions.split(",")[0] in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize("kind", ["quantised", "pairwise_masks", "shared_masks"])
def test_protocols_meet_the_same_absences(tiny, tmp_path, kind):
    """Who is away is in no sum; too few are no round, and never a single client's update."""
    some = (f"aggregation.kind={kind}", "conditions.availability=0.6", "federation.rounds=1")
    config = tiny(*some, "partition.num_clients=6", "conditions.dropout=0.05")
    federation = build_experiment(config).federation
    state = federation.init()
    for _ in range(4):
        state, record = federation.run_round(state)
        members = len(record.cohort) - len(record.dropped)
        assert members >= (1 if kind == "quantised" else 2) or record.lost


BUFFERED = (
    "asynchronous={buffer = 2}",
    "conditions.seconds_per_step={kind = 'lognormal', median = 0.2, sigma = 1.0}",
    "conditions.dropout=0.1",
)


@pytest.mark.parametrize("kind", ["plain", "pairwise_masks"])
def test_asynchronous_rounds_resume_bit_for_bit_and_are_reported(tiny, tmp_path, kind):
    own = (*BUFFERED, f"aggregation.kind={kind}", "training.persistent_optimizer=true")
    config = tiny(*own, "federation.rounds=9")
    whole = start_run(config, output=tmp_path / "whole")
    part = start_run(tiny(*own, "federation.rounds=4"), output=tmp_path / "part")
    again = resume_run(part.directory, config=config)
    assert again.summary.parameters_sha256 == whole.summary.parameters_sha256
    rounds = list(read_rounds(whole.directory))
    assert [r.staleness for r in rounds] == [r.staleness for r in read_rounds(part.directory)]
    assert all(len(r.staleness) == 2 for r in rounds)
    assert max(age for r in rounds for age in r.staleness.values()) > 1
    assert "Staleness" in write_report([whole.directory]).read_text()


def test_what_asynchronous_rounds_take_is_told_before(tiny):
    alike = "conditions.upload_mbps=1e-3", "asynchronous={buffer = 4}"
    facts = count_facts(build_experiment(tiny(*alike)))
    assert "up to 4 clients train at the same time; 4 updates are a round" in facts.conditions
    assert "takes 0.48 s; updates are 0 rounds old, 0 at most" in facts.conditions


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ([*BUFFERED, "asynchronous.buffer=5"], "buffer is 5, but partition.num_clients is 4"),
        (["asynchronous={buffer = 2}"], "needs to know how long clients take: give conditions.sec"),
        (["asynchronous={buffer=1}", "conditions.dropout=0.1"], "how long clients take"),
        (
            [*BUFFERED, "asynchronous.buffer=1", "aggregation.kind=pairwise_masks"],
            "at least 2 clients per round, got 1",
        ),
        ([*BUFFERED, "strategy.kind=scaffold"], "sent the model alone"),
        ([*BUFFERED, "graph={kind='ring'}"], r"buffers fill at a server"),
        (
            [*BUFFERED, "privacy={kind='gaussian', clip=1.0, noise_multiplier=1.0}"],
            "fast clients are in more buffers",
        ),
        ([*BUFFERED, "asynchronous.staleness_weights=[1.0, 0.0]"], "greater than 0"),
        (["conditions.seconds_per_step=-1"], "seconds_per_step of client 0 is -1"),
        (["conditions.upload_mbps=[1.0, 2.0]"], "list of 2 numbers for 4 clients; give one for"),
        (["conditions.dropout=clients.csv"], "clients.csv is not a readable text file"),
        (["conditions.dropout={kind='gamma'}"], "unknown condition `gamma`"),
        (["conditions.dropout={kind='uniform', low=0.0, hih=1.0}"], "mean `conditions.dropout.hig"),
        (["conditions.dropout={kind='lognormal', median=-1.0}"], "`conditions.dropout.median` sho"),
        (["conditions.dropout=true"], "`conditions.dropout` should be a table, got true"),
        (["conditions.speed=1"], "unknown key `conditions.speed`"),
        (["aggregation={kind='shared_masks', simulated_dropout=0.1}"], "is now `conditions.dropo"),
    ],
)
def test_what_is_wrong_with_conditions_is_one_line(tiny, overrides, says):
    with pytest.raises(ConfigError, match=says) as raised:
        build_experiment(tiny(*overrides))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ("speed\n1\n2\n3\n4\n", "has no column `seconds_per_step`, but speed"),
        ("seconds_per_step\n1\n2\n3\n", "no row for 1 of 4 clients, the first is client 3"),
        ("client,seconds_per_step\n0,1\n0,2\n", "row 2: client 0 is there twice"),
        ("seconds_per_step\n1\nfast\n", "row 2: `seconds_per_step` should be a number, got 'fast'"),
        ("", "no row for 4 of 4 clients"),
    ],
)
def test_what_is_wrong_with_a_table_is_one_line(blobs, tmp_path, table, says):
    (tmp_path / "clients.csv").write_text(table)
    values = values_of(blobs, "conditions.seconds_per_step=clients.csv")
    with pytest.raises(ConfigError, match=says):
        build_experiment(parse_config(values, folder=tmp_path))
