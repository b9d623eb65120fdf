"""Experiments on simulated links and on key managers: same weights, honest records, refusals."""

from contextlib import contextmanager

import pytest

from fedket.errors import ConfigError, KeyExhaustedError, KeyMaterialError
from fedket.experiment.build import build_experiment, open_keys
from fedket.experiment.facts import count_facts
from fedket.experiment.run import start_run
from fedket.keys.kme.config import KmeConfig
from fedket.keys.kme.pools import KeyPools
from fedket.keys.kme.server import serving
from fedket.keys.kme.trial import write_trial
from fedket.keys.store import verify
from fedket.record_files import read_rounds
from fedket.report.run_page import run_page
from fedket.report.run_record import read_run
from fedket.schema import read_table

SIMULATED = (
    "aggregation.kind=pairwise_masks",
    "keys.kind=simulated",
    "keys.loss_db=[10.0]",
    "keys.server_loss_db=10.0",
    "keys.block_pulses=1e8",
    "keys.clock_hz=1e8",
)
SHARED = ("aggregation.kind=shared_masks",)
QUANTISED = ("aggregation.kind=quantised",)


def run(tiny, tmp_path, *overrides):
    outcome = start_run(tiny(*overrides), parent=tmp_path)
    return outcome, list(read_rounds(outcome.directory))


def test_simulated_links_change_no_bit_and_say_how_long_they_were_waited_for(tiny, tmp_path):
    simulated, rounds = run(tiny, tmp_path, *SIMULATED)
    quantised, _ = run(tiny, tmp_path, *QUANTISED)
    assert simulated.summary.parameters_sha256 == quantised.summary.parameters_sha256
    assert read_run(simulated.directory).facts.key_source == "simulated"
    assert rounds[0].key_wait_s == simulated.summary.key_wait_s == 1.0  # the first block
    assert set(rounds[0].key_levels) == {
        *(f"server-{i}" for i in range(4)), "0-1", "0-2", "0-3", "1-2", "1-3", "2-3",
    }  # fmt: skip
    assert [phase.name for phase in rounds[0].phases] == ["model", "reserve", "ready", "upload"]
    assert sum(p.pad_bits + p.mac_bits for p in rounds[0].phases) == rounds[0].key_bits
    page = run_page(read_run(simulated.directory))
    for words in ("Key reservoirs", "Waiting for key", "Key supply", "Aggregation by phase"):
        assert words in page


def test_show_foretells_what_a_round_spends_and_how_long_that_takes(tiny, tmp_path):
    facts = count_facts(build_experiment(tiny(*SIMULATED)))
    _, rounds = run(tiny, tmp_path, *SIMULATED)
    assert facts.key_bits_per_round == rounds[0].key_bits
    feed = facts.key_feed
    assert feed.bound == "key"
    slowest = feed.links[0]
    assert feed.tight_link == slowest.link
    assert slowest.seconds_per_round == pytest.approx(
        slowest.bits_per_round / slowest.rate_bps, rel=1e-3, abs=1e-4
    )
    fed = count_facts(build_experiment(tiny(*SIMULATED, "keys.training_s=1e6")))
    assert fed.key_feed.bound == "training"
    assert count_facts(build_experiment(tiny(*QUANTISED))).key_bits_per_round == 0


def test_shared_masks_sum_what_the_quantiser_gives(tiny, tmp_path):
    shared, rounds = run(tiny, tmp_path, *SHARED)
    quantised, _ = run(tiny, tmp_path, *QUANTISED, "aggregation.modulus=safe")
    assert shared.summary.parameters_sha256 == quantised.summary.parameters_sha256
    assert [p.name for p in rounds[0].phases] == ["model", "reserve", "share", "upload", "open"]
    facts = count_facts(build_experiment(tiny(*SHARED)))
    assert facts.key_bits_per_round == rounds[0].key_bits


def test_clients_that_fall_silent_are_named_and_the_rest_is_summed(tiny, tmp_path):
    drops = (*SHARED, "conditions.dropout=0.15", "partition.num_clients=10", "seed=3")
    outcome, rounds = run(tiny, tmp_path, *drops, "aggregation.threshold=5")
    dropped = [d for line in rounds for d in line.dropped.items()]
    assert dropped
    assert all(
        reason == f"delivered no masked update: client {client} dropped out (simulated)"
        for client, reason in dropped
    )
    assert outcome.summary.dropped_updates == len(dropped)
    again, _ = run(tiny, tmp_path, *drops, "aggregation.threshold=5")
    assert again.summary.parameters_sha256 == outcome.summary.parameters_sha256


def test_an_eavesdropper_gets_no_key_into_the_run(tiny, tmp_path):
    """Clients 0 and 1 cannot be masked to each other; later rounds fail closed."""
    with pytest.raises(KeyExhaustedError, match="INTRUSION"):
        start_run(tiny(*SIMULATED, "keys.eavesdropper=1.0"), parent=tmp_path)
    [directory] = tmp_path.glob("tiny-*")
    first = next(read_rounds(directory))
    assert list(first.dropped) == [0]
    assert "INTRUSION" in first.dropped[0]
    assert first.key_levels["0-1"] == 0


def test_starving_links_lower_the_bits_and_the_record_says_so(tiny, tmp_path):
    """15 values: 60 bytes of pad at 32 bits, 15 at 8; the link gives some 40 bytes a block."""
    slow = (
        *SIMULATED,
        "aggregation.authenticate=false",
        "aggregation.bits=32",
        "keys.block_pulses=2.2e6",
    )
    with pytest.raises(KeyExhaustedError, match="too little key within 0 s"):
        start_run(tiny(*slow, "keys.deadline_s=0.0"), parent=tmp_path / "closed")
    starving = (*slow, "keys.training_s=0.022", "keys.deadline_s=0.0", "federation.rounds=2")
    policy = 'keys.starvation=["lower_bits", "sparsify"]'
    outcome, rounds = run(tiny, tmp_path, *starving, policy)
    assert {line.starvation for line in rounds} - {""}
    assert outcome.summary.starved_rounds == sum(bool(line.starvation) for line in rounds)
    assert "Key starvation" in run_page(read_run(outcome.directory))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (['keys.starvation=["lower_bits"]', "aggregation.kind=pairwise_masks"], "never runs short"),
        (
            [*SIMULATED, "keys.loss_db=[10.0, 12.0]"],
            "each of the 6 pairs of 4 clients that have a link; got 2",
        ),
        (
            ["aggregation.kind=pairwise_masks", "keys.kind=etsi014"],
            "needs keys.store, and keys.sae_files",
        ),
        (
            ["aggregation.kind=pairwise_masks", "aggregation.colluders=1"],
            "`shared_masks`, this",
        ),
        (["aggregation.kind=pairwise_masks", "aggregation.degree=1"], "even number"),
        ([*SHARED, "aggregation.colluders=3"], "threshold must be at least"),
        (
            [
                *SHARED,
                "aggregation.malicious=true",
                "partition.num_clients=8",
                "aggregation.colluders=4",
                "aggregation.threshold=6",
            ],
            "malicious",
        ),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_runs(tiny, overrides, message):
    with pytest.raises(ConfigError, match=message):
        build_experiment(tiny(*overrides))


def test_without_an_open_source_a_masked_round_refuses_to_run(tiny):
    federation = build_experiment(tiny(*SIMULATED)).federation
    with pytest.raises(ConfigError, match="no key source is open"):
        federation.run_round(federation.init())


@contextmanager
def served_trial(directory):
    """Key managers for four clients and the server, on free ports."""
    names = ["c0", "c1", "c2", "c3", "hub"]
    trial = write_trial(directory, ["kme-1", "kme-2"], names)
    config = read_table(trial.kme_config, KmeConfig)
    free = tuple(kme.model_copy(update={"port": 0}) for kme in config.kme)
    with serving(KeyPools(config.model_copy(update={"kme": free}))) as served:
        for i, path in enumerate(trial.sae_configs[name] for name in names):
            url = served.urls[f"kme-{i % 2 + 1}"]
            lines = path.read_text().splitlines()
            path.write_text(
                "\n".join(f'kme_url = "{url}"' if "kme_url" in line else line for line in lines)
            )
        yield [str(trial.sae_configs[name]) for name in names]


def test_key_managers_feed_a_run_and_its_resumption_through_pad_stores(tiny, tmp_path):
    with served_trial(tmp_path / "trial") as files:
        overrides = (
            "aggregation.kind=pairwise_masks",
            "keys.kind=etsi014",
            f"keys.store={tmp_path / 'pads'}",
            f"keys.sae_files={files}",
            "federation.rounds=2",
        )
        fed, _ = run(tiny, tmp_path, *overrides)
        quantised, _ = run(tiny, tmp_path, *QUANTISED, "federation.rounds=2")
        assert fed.summary.parameters_sha256 == quantised.summary.parameters_sha256
        assert read_run(fed.directory).facts.key_source == "etsi014"
        config = tiny(*overrides)
        with (
            open_keys(config),
            pytest.raises(KeyMaterialError, match="already open"),
            open_keys(config),
        ):
            raise AssertionError("the second one was let in")
    for party in ("client-0", "client-3", "server"):
        assert verify(tmp_path / "pads" / party).findings == ()
    with pytest.raises(KeyExhaustedError, match="cannot connect"):
        start_run(tiny(*overrides, "keys.deadline_s=0.0"), parent=tmp_path)
