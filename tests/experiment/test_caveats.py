"""What a kind has to say of itself reaches the report, a user's own included."""

import pytest
import tomli_w

from fedket.errors import UserCodeError
from fedket.experiment.build import build_experiment
from fedket.experiment.facts import count_facts
from fedket.experiment.load import load_config
from fedket.experiment.run import start_run
from fedket.kinds import BUILT_IN
from fedket.report import write_report
from tests.experiment.tiny import values_of

OWN = """
from typing import Literal
from fedket import Section, fed_avg

class Mine(Section):
    kind: Literal["mine.py:Mine"] = "mine.py:Mine"

    def build(self, context):
        return fed_avg()

    def caveats(self):
        return {said}
"""


def with_own_strategy(blobs, folder, said):
    (folder / "mine.py").write_text(OWN.format(said=said))
    values = values_of(blobs) | {"strategy": {"kind": "mine.py:Mine"}}
    (folder / "mine.toml").write_text(tomli_w.dumps(values))
    return load_config(folder / "mine.toml")


@pytest.mark.parametrize("kind", BUILT_IN["aggregation"])
def test_every_aggregation_says_what_its_server_sees(kind, tiny):
    groups = "aggregation.group_size=2", "partition.num_clients=6"
    more = groups if kind == "grouped" else ()
    caveats = count_facts(build_experiment(tiny(f"aggregation.kind={kind}", *more))).caveats
    assert caveats["aggregation"][0].startswith(f"{kind}: the server")
    assert ("keys" in caveats) == (
        kind in ("pairwise_masks", "shared_masks", "grouped", "hierarchical")
    )


@pytest.mark.parametrize("kind", ["vectorised", "sequential"])
def test_every_engine_that_simulates_says_so(kind, tiny):
    caveats = count_facts(build_experiment(tiny(f"engine.kind={kind}"))).caveats
    assert "are simulated in one program" in caveats["engine"][0]


def test_the_report_tells_what_a_users_own_kind_says(blobs, tmp_path):
    config = with_own_strategy(blobs, tmp_path, '("Mine is only a toy.",)')
    run = start_run(config, output=tmp_path / "run").directory
    assert "<dt>Strategy</dt><dd>Mine is only a toy.</dd>" in write_report([run]).read_text()


@pytest.mark.parametrize(("said", "problem"), [('"a"', "tuple of sentences"), ("1 / 0", "line 12")])
def test_a_kind_that_says_no_sentences_is_told_before_the_run(said, problem, blobs, tmp_path):
    with pytest.raises(UserCodeError, match=problem):
        start_run(with_own_strategy(blobs, tmp_path, said), output=tmp_path / "run")
    assert not (tmp_path / "run").exists()
