"""A federation of sites equals its simulation, and says what is wrong with a site."""

import jax
import numpy as np
import pytest
from local_sites import (
    CONFIRMED,
    KINDS,
    SITES,
    LocalMembers,
    SharedKeys,
    experiment,
    federation_of,
    run,
    site_parts,
)

from fedket.deploy.identity.members import MOST_SITES
from fedket.deploy.rounds import SiteRounds
from fedket.deploy.server_experiment import site_experiment
from fedket.deploy.site import Site
from fedket.deploy.site_trainer import make_task
from fedket.deploy.spoilers import Spoilers
from fedket.experiment.aggregation import protocol_of
from fedket.experiment.build import build_experiment
from fedket.experiment.conditions import answers_of
from fedket.federated.checkpoint import params_sha256
from fedket.keys import OsRandomSource
from fedket.secure.phases import Failure, Reply

# 8 bits cannot tell Fisher information at the threshold from none.
SMALL = {"kind": "vqc", "num_qubits": 6, "num_layers": 1}
NOISE = {"kind": "gates", "one_qubit": 0.01, "two_qubit": 0.05, "readout": [0.02, 0.05]}
SPSA = {"training": 60, "gradient": "spsa"}

FISHER = [kind for kind in KINDS if KINDS[kind]["bits"] > 8]
TRAINED = (
    [("fed_adam", kind) for kind in KINDS | CONFIRMED]
    + [("qfedfisher", FISHER[0])]
    + [pytest.param("qfedfisher", kind, marks=pytest.mark.long) for kind in FISHER[1:]]
    + [("scaffold", "masked")]
)


@pytest.mark.parametrize(("strategy", "kind"), TRAINED)
def test_sites_arrive_at_the_weights_of_the_sequential_engine(strategy, kind):
    config = experiment((KINDS | CONFIRMED)[kind], strategy={"kind": strategy})
    built = build_experiment(config)
    simulated, lines = run(built.federation, 3)
    federation, members = federation_of(config, built)
    members.keys.fill = lambda _: 16
    deployed, records = run(federation, 3)
    assert params_sha256(deployed.params) == params_sha256(simulated.params)
    requests = {action for action, said in members.sent if said["round_num"] == 3}
    assert len(requests) <= 6
    assert "fill" not in requests
    for line, record in zip(lines, records, strict=True):
        assert record.test_accuracy == line.test_accuracy
        assert record.train_loss == pytest.approx(line.train_loss, abs=0.35)
        assert 0 <= record.metrics["site_accuracy"] <= 1


@pytest.mark.long
def test_noise_and_shots_at_sites_are_those_of_the_simulation():
    """Each client draws its own errors and shots, and those of a round anew, wherever it is."""
    config = experiment(KINDS["masked"], model=SMALL, noise=NOISE, shots=SPSA)
    built = build_experiment(config)
    deployed, _ = run(federation_of(config, built)[0], 2)
    assert params_sha256(deployed.params) == params_sha256(run(built.federation, 2)[0].params)


def test_sites_train_as_the_experiment_asks_and_keep_their_optimisers():
    training = {"epochs": 1, "batch_size": 16, "persistent_optimizer": True}
    training |= {"clip_norm": 0.5, "class_weights": [2.0, 1.0, 1.0]}
    asked = {"schedule": {"kind": "exponential"}, "optimizer": {"kind": "optax:adamw"}}
    unequal = {"kind": "dirichlet", "num_clients": SITES, "alpha": 0.7}
    circuit = {"kind": "vqc", "num_qubits": 6, "num_layers": 2}
    config = experiment(
        KINDS["masked"], model=circuit, training=training, partition=unequal, **asked
    )
    built = build_experiment(config)
    assert params_sha256(run(federation_of(config, built)[0], 3)[0].params) == params_sha256(
        run(built.federation, 3)[0].params
    )


HYBRID = {"kind": "hybrid", "num_qubits": 4, "num_layers": 1}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"strategy": {"kind": "fed_dyn"}}, id="fed_dyn", marks=pytest.mark.long),
        pytest.param({"strategy": {"kind": "ditto"}}, id="ditto"),
        pytest.param(
            {"model": HYBRID, "federation": {"rounds": 3, "personal": ["head"]}},
            id="personal",
            marks=pytest.mark.long,
        ),
    ],
)
def test_what_sites_remember_outlives_them_and_is_that_of_the_simulation(changes, tmp_path):
    config = experiment(KINDS["masked"], **changes)
    built = build_experiment(config)
    state, _ = run(federation_of(config, built, folder=tmp_path)[0], 2)
    after, _ = federation_of(config, built, folder=tmp_path)[0].run_round(state)
    simulated = run(built.federation, 3)[0]
    assert params_sha256(after.params) == params_sha256(simulated.params)
    assert after.clients.tolist() == [3] * SITES + [0] * (MOST_SITES - SITES)
    assert sorted(p.name for p in (tmp_path / "0").iterdir()) == [
        "memory-2.safetensors",
        "memory-3.safetensors",
    ]
    _, lost = federation_of(config, built)[0].run_round(after)
    assert "memory of round 3, the last that counted, is gone" in lost.dropped[0]


@pytest.mark.parametrize("kind", KINDS | CONFIRMED)
def test_nothing_but_masked_words_and_public_numbers_leaves_a_site(kind):
    config = experiment((KINDS | CONFIRMED)[kind])
    built = build_experiment(config)
    federation, members = federation_of(config, built)
    run(federation, 2)
    allowed = {
        "fill": {"rounds"},
        "model": {"mac_offset", "tag"},
        "reserve": {"offsets", "tags", "tag"},
        "ready": {"tag"},
        "share": {"peers", "shares", "stated", "tag"},
        "confirm": {"stated", "tags", "tag"},
        "upload": {"held", "words", "residues", "tag"},
        "open": {"residues", "tag"},
    }
    uploads = []
    for action, payload in members.received:
        assert set(payload) <= allowed[action], action
        if action == "upload":
            uploads += [payload[name] for name in ("words", "residues") if name in payload]
    assert len(uploads) == 2 * SITES
    bits = np.unpackbits(np.frombuffer(b"".join(uploads), np.uint8))
    # Six standard deviations of fair coins, and the top bits of residues below a prime are uneven.
    assert abs(bits.mean() - 0.5) < 3 / np.sqrt(len(bits)) + 0.02


def test_sites_that_fall_silent_are_named_and_left_out():
    config = experiment(KINDS["shared"])
    built = build_experiment(config)

    def silent(site, action):
        return site == 2 and action == "upload"

    federation, _ = federation_of(config, built, silent)
    state, records = run(federation, 2)
    assert state.round_num == 2
    assert all(set(record.dropped) == {2} for record in records)


def test_the_sum_without_a_silent_site_is_that_of_the_others():
    """As `dropout` simulates it: what the site would have added is missing."""
    config = experiment(KINDS["masked"], federation={"rounds": 1})
    built = build_experiment(config)
    federation, members = federation_of(
        config, built, lambda site, action: (site, action) == (1, "ready")
    )
    whole, _ = federation_of(config, built)
    start = federation.init()
    without, record = federation.run_round(start)
    complete, _ = whole.run_round(whole.init())
    assert set(record.dropped) == {1}
    assert params_sha256(without.params) != params_sha256(complete.params)
    assert members.sites[1].instance


def test_a_restarted_site_waits_for_a_session():
    config = experiment(KINDS["masked"])
    built = build_experiment(config)
    part = next(site_parts(built))
    site = Site("north", 0, config, part, SharedKeys(OsRandomSource()))
    outcome = site.handle("upload", {"round_num": 1})
    assert isinstance(outcome, Failure)
    assert "restarted" in outcome.reason


def test_an_altered_model_is_refused():
    """By every site; a round without sites is lost and leaves the model as it was."""
    config = experiment(KINDS["masked"])
    built = build_experiment(config)
    federation, members = federation_of(config, built)
    execute = members.execute

    def cut(phase):
        if phase.action == "model":
            each = {i: {**phase.each[i], "model": b"short"} for i in phase.to}
            phase = phase._replace(each=each)
        return execute(phase)

    members.execute = cut
    start = federation.init()
    after, record = federation.run_round(start)
    assert set(record.dropped) == set(range(SITES))
    assert all("fails its MAC" in reason for reason in record.dropped.values()), record.dropped
    assert params_sha256(after.params) == params_sha256(start.params)


def test_a_site_that_comes_back_as_a_round_begins_is_named():
    """It was away when the others were counted, and no longer when they were asked who is."""
    task = make_task(experiment(KINDS["masked"]), (64,), 3)
    members = LocalMembers([])
    members.gather = lambda needed=0: {0: 10, 1: 10, 3: 10}
    members.execute = lambda phase: dict.fromkeys(
        phase.to, Reply({}) if phase.action == "fill" else Failure("no")
    )
    rounds = SiteRounds(task, members, SharedKeys(OsRandomSource()), "it")
    federation = site_experiment(task, rounds, None).federation
    record = federation.run_round(federation.init())[1]
    assert record.dropped[2] == "site 2 came back"
    assert set(record.dropped) == {0, 1, 2, 3}


@pytest.mark.parametrize("strategy", ["fed_adam", "scaffold"])
def test_rounds_are_lost_at_sites_as_in_a_simulation(strategy, monkeypatch):
    """The same clients fall silent in the same phases; some rounds are lost, the others are not.

    Nobody sits out for that here: a simulation knows no site at fault. Whose update is not in the
    sum remembers nothing of the round, here as there.
    """
    monkeypatch.setattr(Spoilers, "resting", lambda *_: {})
    tables = {"how": KINDS["shared"], "strategy": {"kind": "fed_adam"}}
    config = experiment(**tables)
    built = build_experiment(experiment(**tables, conditions={"dropout": 0.35}))
    federation, members = federation_of(config, built)
    execute, answers = members.execute, answers_of(built.clients, protocol_of(config))

    def silent_as_simulated(phase):
        def silent(site, action):
            return not answers(phase.payload["round_num"], site, action)

        members.silent = silent
        return execute(phase)

    members.execute = silent_as_simulated
    lost = []
    deployed, simulated = federation.init(), built.federation.init()
    for _ in range(6):
        deployed, at_sites = federation.run_round(deployed)
        simulated, in_process = built.federation.run_round(simulated)
        assert params_sha256(deployed.params) == params_sha256(simulated.params)
        assert at_sites.lost == in_process.lost
        assert dict(at_sites.dropped) == in_process.dropped
        assert at_sites.test_loss == in_process.test_loss
        for field in ("round", "cohort", "download_bytes"):
            assert getattr(at_sites, field) == getattr(in_process, field)
        phases = [[(p.name, p.mac_bits) for p in r.phases] for r in (at_sites, in_process)]
        assert phases[0] == phases[1]
        if in_process.lost:
            assert in_process.key_bits > 0
            assert at_sites.train_loss is in_process.train_loss is None
            assert at_sites.metrics == in_process.metrics == {}
        lost.append(bool(in_process.lost))
    assert len(set(lost)) == 2


@pytest.mark.parametrize("kind", ["masked", "shared"])
def test_private_sites_send_nothing_but_their_update_and_their_sum_is_the_simulations(kind):
    privacy = {"kind": "skellam", "clip": 5.0, "noise_multiplier": 0.0}
    config = experiment(KINDS[kind], privacy=privacy)
    built = build_experiment(config)
    simulated, _ = run(built.federation, 1)
    deployed, records = run(federation_of(config, built)[0], 1)
    leaves = zip(*(jax.tree.leaves(state.params) for state in (simulated, deployed)), strict=True)
    for ours, theirs in leaves:
        np.testing.assert_allclose(ours, theirs, atol=2e-3)
    assert [record.train_loss for record in records] == [None]
    assert not any("site_accuracy" in record.metrics for record in records)


def test_sites_draw_noise_on_their_steps_that_nobody_can_work_out():
    privacy = {"kind": "dp_sgd", "clip": 1.0, "noise_multiplier": 1.0}
    config = experiment(KINDS["masked"], privacy=privacy)
    built = build_experiment(config)
    one, _ = run(federation_of(config, built)[0], 1)
    two, records = run(federation_of(config, built)[0], 1)
    assert params_sha256(one.params) != params_sha256(two.params)
    assert records[0].train_loss is None
