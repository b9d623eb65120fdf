"""A federation without a centre, from its TOML to its report; what does not fit is one line."""

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from fedket.errors import ConfigError, UserCodeError
from fedket.experiment.build import build_experiment
from fedket.experiment.facts import count_facts
from fedket.experiment.load import parse_config
from fedket.experiment.run import resume_run, start_run
from fedket.experiment.run_directory import read_config
from fedket.record_files import read_rounds
from fedket.report import write_report
from tests.experiment.tiny import rounds_of, values_of

MASKED = ("aggregation.kind=pairwise_masks", "aggregation.clip=2.0")
DP = ("privacy={kind='gaussian', clip=1.0, noise_multiplier=1.0}",)
LINKS = (
    "graph.kind=qkd_links",
    "keys.kind=simulated",
    "keys.links=['0-1', '0-2', '1-2', '1-3', '2-3']",
    "keys.loss_db=[10.0]",
    "keys.block_pulses=1e8",
)


def test_masks_along_qkd_links_change_no_bit_and_take_the_key_that_was_said(tiny, tmp_path):
    masked = tiny(*LINKS, *MASKED, "federation.rounds=2")
    facts = count_facts(build_experiment(masked))
    assert "sum of its neighbours" in facts.caveats["aggregation"][0]
    hidden = start_run(masked, output=tmp_path / "masked").summary
    plain = tiny(*LINKS, "aggregation={kind='quantised', clip=2.0}", "federation.rounds=2")
    shown = start_run(plain, output=tmp_path / "plain").summary
    assert hidden.parameters_sha256 == shown.parameters_sha256
    assert hidden.key_bits == 2 * facts.key_bits_per_round
    assert {link.link for link in facts.key_feed.links} == {"0-1", "0-2", "1-2", "1-3", "2-3"}
    with_server = tiny(*LINKS[1:], *MASKED, "keys.server_loss_db=10.0", "federation.rounds=1")
    record, *_ = read_rounds(start_run(with_server, output=tmp_path / "server").directory)
    assert not record.lost


def test_a_run_on_a_ring_resumes_bit_for_bit_and_reports_the_clients_own_models(tiny, tmp_path):
    config = tiny("graph.kind=ring")
    whole = start_run(config, output=tmp_path / "whole")
    start_run(tiny("graph.kind=ring", "federation.rounds=1"), output=tmp_path / "cut")
    resumed = resume_run(
        tmp_path / "cut", config=read_config(tmp_path / "cut", ["federation.rounds=3"])
    )
    assert resumed.summary.parameters_sha256 == whole.summary.parameters_sha256
    assert rounds_of(tmp_path / "cut") == rounds_of(tmp_path / "whole")
    cut, uncut = (load_file(tmp_path / run / "checkpoint.safetensors") for run in ("cut", "whole"))
    jax.tree.map(np.testing.assert_array_equal, cut, uncut)
    last = list(read_rounds(tmp_path / "whole"))[-1]
    assert last.consensus_distance > 0
    assert len(last.own_accuracy) == 4
    page = write_report([tmp_path / "whole"], None).read_text()
    assert "distance from consensus" in page
    assert "which nobody has" in page


@pytest.mark.parametrize("when", ["federation.eval_clients=none", "federation.eval_every=5"])
def test_own_models_are_evaluated_when_and_of_whom_the_experiment_says(when, tiny, tmp_path):
    run = start_run(tiny("graph.kind=complete", when), output=tmp_path / "run")
    first, *_ = read_rounds(run.directory)
    assert first.own_accuracy is None
    assert first.consensus_distance == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    ("graph", "words"),
    [
        ("{kind='torus'}", "torus of 2 × 2, 2 neighbours each"),
        ("{kind='random_regular', degree=3}", "random 3-regular graph, 3 neighbours each"),
        ("{kind='edges', edges=['0-1', '2-1', '1-3']}", "given edges, 1 to 3 neighbours each"),
    ],
)
def test_facts_say_what_the_graph_is(graph, words, tiny):
    facts = count_facts(build_experiment(tiny(f"graph={graph}")))
    assert facts.graph.startswith(words)
    assert facts.upload_bytes_per_client == (2 if "torus" in words else 3) * 15 * 4
    assert "neighbours" in facts.caveats["aggregation"][0]


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["graph={kind='edges', edges=['0-1', '2-3']}"], "client 2 cannot be reached"),
        (["graph={kind='edges', edges=['0-1', '1-7']}"], "edge 1-7 names none of 0 to 3"),
        (["graph={kind='edges', edges=['0-1', '0-0']}"], "edge 0-0 joins a client with itself"),
        (["graph={kind='edges', edges=['0-1', '1-0']}"], "edge 0-1 is given twice"),
        (["graph={kind='edges', edges=['0:1']}"], 'pairs of clients such as "0-1", got "0:1"'),
        (["graph={kind='random_regular', degree=5}"], "4 clients cannot have 5 neighbours"),
        (["graph={kind='ring', reach=3}"], "a reach of 1 to 2, got 3"),
        (["graph={kind='star'}"], "unknown graph `star`"),
        (["graph.kind=qkd_links"], "give keys.kind = .simulated. its keys.links"),
        (["graph.kind=ring", "strategy.kind=fed_adam"], "needs one for more than averaging"),
        (
            ["graph.kind=ring", "aggregation.kind=shared_masks"],
            "has no server; use aggregation.kind",
        ),
        (["graph.kind=ring", "aggregation.kind=pairwise_masks"], "client 0 would learn more than"),
        (
            [*LINKS[1:], "graph.kind=complete", *MASKED],
            "edge 0-3 of the graph is none of keys.links",
        ),
        ([*LINKS[1:], "aggregation.kind=shared_masks"], "clients 0 and 3, who have no link"),
        ([*LINKS, "keys.links=['0-1', '0-9']"], "edge 0-9 names none of 0 to 3"),
        ([*LINKS, "keys.starvation=['lower_bits']", *MASKED], "on a graph leave it empty"),
        (["graph.kind=complete", *MASKED, *DP], "privacy. accounts for a server's sum"),
        (["graph.kind=ring", "strategy.kind=qfedfisher"], "needs one for more than averaging"),
    ],
)
def test_what_does_not_fit_a_graph_is_one_line(overrides, said, tiny):
    with pytest.raises(ConfigError, match=said) as error:
        build_experiment(tiny(*overrides))
    assert "\n" not in str(error.value)


OWN = """
from fedket import GraphConfig, make_topology

class Star(GraphConfig):
    def build(self, context):
        return make_topology(context.num_clients, [(0, i) for i in range(1, context.num_clients)])

class Number(GraphConfig):
    def build(self, context):
        return 7
"""


def test_a_graph_of_ones_own_is_a_file_beside_the_experiment(blobs, tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    star = parse_config(values_of(blobs, "graph.kind=own.py:Star"), "test", tmp_path)
    assert "1 to 3 neighbours" in count_facts(build_experiment(star)).graph
    number = parse_config(values_of(blobs, "graph.kind=own.py:Number"), "test", tmp_path)
    with pytest.raises(UserCodeError, match="returned a int; it should return a Topology"):
        build_experiment(number)
    assert np.isfinite(start_run(star, output=tmp_path / "run").summary.test_accuracy)
