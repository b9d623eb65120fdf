"""Runs side by side: the numbers of one at a time, and no run takes another down."""

import os
import signal

from fedket.sweeps import pool
from fedket.sweeps.pool import Task, run_side_by_side


def test_a_run_whose_process_is_killed_fails_alone(tiny, tmp_path, monkeypatch):
    workers = []
    start = pool._start

    def start_and_kill(core):
        workers.append(start(core))
        if len(workers) <= 2:  # both of them; their successors live
            os.kill(workers[-1].process.pid, signal.SIGKILL)
        return workers[-1]

    monkeypatch.setattr(pool, "_start", start_and_kill)
    tasks = [Task(tiny(f"seed={seed}"), tmp_path / str(seed)) for seed in range(5)]
    ends = dict(run_side_by_side(tasks, 2))
    assert [end.problem for end in ends.values() if end.status == "failed"] == [pool.DIED] * 2
    assert sum(end.status == "finished" for end in ends.values()) == 3


def test_runs_that_share_programs_go_to_the_same_process(tiny, tmp_path):
    kinds = ("fed_avg", "fed_adam", "fed_yogi")
    configs = [tiny(f"strategy.kind={kind}", f"seed={s}") for s in (0, 1) for kind in kinds]
    queue = pool._Queue([Task(config, tmp_path) for config in configs], range(6))
    workers = [pool._Worker(None, None, None) for _ in range(2)]
    taken = [queue.take(workers[place % 2]) for place in range(6)]
    assert sorted(taken) == list(range(6))
    assert [kinds[place % 3] for place in taken[:4]] == ["fed_avg", "fed_adam"] * 2
