"""What is published about speed is what stored runs say, and only quiet runs are stored."""

import json
import os
import subprocess
import sys
from argparse import Namespace

import pytest
from benchmarks import load, machine, run, table
from benchmarks.figures import paired, spread
from benchmarks.run import Side
from hypothesis import given
from hypothesis import strategies as st

SCRIPT = "import sys, json; [print(json.dumps({'workload': w, **%s})) for w in sys.argv[1:]]"


def side(name, found="{'ms': 2.0, 'loss': 1.0, 'threads': 2}", workloads=("a",), **how):
    return Side(name, (sys.executable, "-c", SCRIPT % found), workloads, **how)


def stored_run(benchmark, **sides):
    return {
        "benchmark": benchmark,
        "machine": {"cpu": "some", "cores": 2},
        "processes": 3,
        "limit": {"ms": spread([20.0] * 3)},
        "sides": sides,
    }


def options(**given_):
    usual = {"processes": 2, "device": "cpu", "json": True, "publish": False, "limit_s": 60.0}
    return Namespace(**usual | given_)


@pytest.fixture
def alone(monkeypatch, tmp_path):
    """Nobody else computes; no C; results go elsewhere."""
    monkeypatch.setattr(load, "others", lambda start, end: 0.0)
    monkeypatch.setattr(load, "others_now", lambda: 0.0)
    monkeypatch.setattr(machine, "compile_limit", lambda folder: None)
    monkeypatch.setattr(run, "RESULTS", tmp_path / "results")


def test_the_tables_of_the_readme_are_what_the_stored_runs_say(repository):
    text = (repository / "README.md").read_text()
    assert text.count(table.START) == text.count(table.END) == 1
    assert text.partition(table.START)[2].partition(table.END)[0] == table.tables(table.stored())


def test_every_stored_run_may_be_published():
    for stored in table.stored():
        assert stored["quiet"]
        assert stored["processes"] >= run.least(stored["benchmark"])
        assert stored["limit"] or stored["notes"]["limit"]
        assert {"cpu", "cores", "versions", "revision", "date"} <= stored["machine"].keys()


def test_a_run_has_every_process_of_every_side_and_says_what_is_missing(alone):
    sides = [
        side("fedket", workloads=("a", "b")),
        side("wrong", "{'ms': 1.0, 'loss': 1.1}"),
        Side("broken", (sys.executable, "-c", "raise ValueError('no circuit')"), ("a",)),
        side("absent", missing="not installed"),
    ]
    record = run.measure("test", sides, options())
    ours = record["sides"]["fedket"]["a"]
    assert ours["ms"]["values"] == [2.0, 2.0]
    assert ours["threads"] == 2
    assert set(record["sides"]["fedket"]) == {"a", "b"}
    assert record["sides"]["wrong"]["a"] == {"note": "its loss is 1.1, not 1"}
    assert "no circuit" in record["notes"]["broken a"]
    assert record["notes"]["absent"] == "not installed"
    assert record["limit"] is None
    assert "gcc" in record["notes"]["limit"]
    json.dumps(record)
    assert "no circuit" in run.readable(record)


def test_sides_take_turns(alone, tmp_path):
    log = tmp_path / "log"
    script = f"import sys; open({str(log)!r}, 'a').write(sys.argv[1])"
    sides = [Side(name, (sys.executable, "-c", script, name), ("a",)) for name in "xyz"]
    run.measure("test", sides, options(processes=3))
    assert log.read_text() == "xyzxyzxyz"


def test_a_run_that_saw_others_says_so_and_is_not_published(alone, monkeypatch, capsys):
    sides = [side("fedket")]
    monkeypatch.setattr(load, "others", lambda start, end: 0.9 * os.cpu_count())
    run.run("test", sides, options(json=False))
    assert "cannot be published" in capsys.readouterr().out
    with pytest.raises(SystemExit, match=r"not published: others used .* while fedket"):
        run.run("test", sides, options(publish=True, processes=5))
    monkeypatch.setattr(load, "others_now", lambda: 0.9 * os.cpu_count())
    with pytest.raises(SystemExit, match="before the start"):
        run.run("test", sides, options(publish=True, processes=5))
    with pytest.raises(SystemExit, match="less than 5"):
        run.run("test", sides, options(publish=True))
    assert not run.RESULTS.exists()


def test_a_quiet_run_is_published_whole(alone, capsys):
    run.run("test", [side("fedket")], options(publish=True, processes=5))
    (path,) = run.RESULTS.iterdir()
    assert json.loads(path.read_text()) == json.loads(capsys.readouterr().out)


def test_where_jax_finds_no_gpu_the_run_says_so():
    sides, notes = run.with_gpu([side("fedket")], {})
    assert len(sides) == 2 or "no GPU" in notes["gpu"]


@given(st.lists(st.floats(1e-3, 1e6), min_size=1, max_size=9))
def test_a_spread_is_ordered(values):
    found = spread(values)
    (low, high), (first, third) = found["range"], found["quartiles"]
    assert low <= first <= found["median"] <= third <= high
    assert len(found["values"]) == len(values)


def test_others_are_all_work_less_our_own():
    start = load.Meter(wall_s=10.0, busy_s=5.0, own_s=1.0)
    assert load.others(start, load.Meter(12.0, 8.0, 3.0)) == pytest.approx(0.5)
    assert load.others(start, load.Meter(12.0, 6.9, 3.0)) == 0.0  # both clocks tick in steps
    assert load.others(start, None) is None
    assert not load.is_quiet(None)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity on this system")
def test_a_process_has_the_cores_that_it_is_given(alone):
    counted = side("fedket", "{'ms': float(len(__import__('os').sched_getaffinity(0)))}", cores=1)
    before = os.sched_getaffinity(0)
    assert run.measure("test", [counted], options())["sides"]["fedket"]["a"]["ms"]["median"] == 1
    taken = run.measure("test", [counted._replace(cores=None, taken=True)], options())
    assert taken["sides"]["fedket"]["a"]["ms"]["median"] == len(before)
    assert os.sched_getaffinity(0) == before


def test_c_is_timed_where_there_is_a_compiler(tmp_path):
    program = machine.compile_limit(tmp_path)
    if program is None:
        pytest.skip("no gcc")
    found = run.process(Side("limit", (program,), ("limit",)), tmp_path, 60.0)
    assert found["limit"]["ms"] > 0


def test_ratios_are_taken_within_a_pass_and_shown_with_their_range():
    """The machine gets slower by the same factor for all: ratios stay."""
    drift = [1.0, 2.0, 4.0]
    ours, theirs = spread([10 * d for d in drift]), spread([200 * d for d in drift])
    assert paired(theirs, ours) == [20, 20, 20]
    found = stored_run("gradient", fedket={"a": {"ms": ours}}, torchquantum={"a": {"ms": theirs}})
    (row,) = [line for line in table.steps([found]) if line.startswith("| 10 qubits")]
    assert "| 20 (10 to 40) | 1 (0.5 to 2) | 20× | – |" in row


SHOWN = {  # benchmark -> (side, workload, figures), what README says of it
    "gradient": ("fedket", "round-20", ["ms"], "| a round of 20 clients, 4 steps of 32 each"),
    "scale": ("fedket", "20-qubits", ["ms", "peak_mib"], "| gradient of 20 qubits"),
    "secure": ("shared", "n16-d61706-q16-lost0-k15", ["cpu_s"], "| 16 clients | – | 2,000 | –"),
    "federation": ("fedket", "3-sites", ["round_s", "training_ms", "mib_per_site"], "| 3 sites"),
}


@pytest.mark.parametrize("benchmark", SHOWN)
def test_a_stored_run_is_shown(benchmark):
    name, workload, figures, line = SHOWN[benchmark]
    record = {figure: spread([2000.0] * 3) for figure in figures}
    text = table.tables([stored_run(benchmark, **{name: {workload: record}})])
    assert f"\n{line}" in text
    assert "1 stored run, 3 passes" in text


def test_a_side_that_a_run_lacks_takes_nothing_from_the_others():
    """Two runs, one of them without the peer: the peer's ratios are those of the other."""
    ours, theirs = spread([10.0] * 3), spread([50.0] * 3)
    whole = stored_run("gradient", fedket={"a": {"ms": ours}}, torchquantum={"a": {"ms": theirs}})
    part = stored_run("gradient", fedket={"a": {"ms": spread([20.0] * 3)}})
    (row,) = [line for line in table.steps([whole, part]) if line.startswith("| 10 qubits")]
    assert "| 15 (10 to 20) | 0.75 (0.5 to 1) | 5× |" in row


ORPHAN = """
import os, subprocess, sys, time
from benchmarks import load
load.adopt_orphans()
child = "import time; end = time.process_time() + 0.5\\nwhile time.process_time() < end: pass"
parent = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {child!r}])"
subprocess.run([sys.executable, "-c", parent], check=True)
before = load.read().own_s
while load.read().own_s - before < 0.4:
    time.sleep(0.05)
    load.count_orphans()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="/proc and prctl are Linux's")
def test_the_work_of_processes_whose_parents_died_is_our_own(repository):
    """It would be others' work: the script would never end."""
    subprocess.run([sys.executable, "-c", ORPHAN], cwd=repository, check=True, timeout=600)
