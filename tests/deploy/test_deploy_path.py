"""The commands of docs/deploy.md, run as they stand, in order, with real processes."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("nvflare")

MOST_COMMANDS = 12
"""From nothing to a finished round."""


@pytest.fixture(scope="module")
def path(repository):
    """Steps of the section, in order: (language, a command or a program)."""
    page = (repository / "docs" / "deploy.md").read_text()
    section = re.search(r"## Three sites, from nothing to resume\n(.*?)\n## ", page, re.DOTALL)
    steps = []
    for language, block in re.findall(r"```(sh|python)\n(.*?)```", section[1], re.DOTALL):
        lines = block.splitlines() if language == "sh" else [block]
        steps += [(language, line) for line in lines if line.strip()]
    return steps


def test_a_round_is_finished_after_few_commands(path):
    run = next(i for i, (_, step) in enumerate(path) if step.startswith("fedket deploy run"))
    assert run + 1 <= MOST_COMMANDS
    assert path[-1] == ("sh", "fedket deploy run heart")


def command(line):
    return [sys.executable, "-m", *line.removesuffix("&").split()]


@pytest.mark.long
@pytest.mark.xdist_group("federations")
def test_the_page_leads_from_nothing_to_resume(path, tmp_path):
    started, said = [], {}
    rounds = tmp_path / "heart/kits/server/local/fedket/run/rounds.jsonl"
    environment = {**os.environ, "JAX_PLATFORMS": "cpu"}
    log = (tmp_path / "log.txt").open("wb")

    def start(line):
        process = subprocess.Popen(
            command(line),
            cwd=tmp_path,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        started.append(process)
        return process

    try:
        for language, step in path:
            if language == "python":
                subprocess.run(
                    [sys.executable, "-c", step], cwd=tmp_path, env=environment, check=True
                )
            elif step.endswith("&"):
                process = start(step)
                if step.split()[2] == "serve":
                    time.sleep(8)  # an operator looks before going on
                if step.split()[2] == "run":
                    while not rounds.exists() or not rounds.read_text().count("\n"):
                        assert process.poll() is None, (tmp_path / "log.txt").read_text()[-3000:]
                        time.sleep(0.2)
            else:
                done = subprocess.run(
                    command(step),
                    cwd=tmp_path,
                    env=environment,
                    capture_output=True,
                    text=True,
                    check=False,
                )
                assert done.returncode == 0, (step, done.stdout, done.stderr)
                said[step] = done.stdout
    finally:
        for process in started:
            with_group(process, signal.SIGINT)
        for process in started:
            process.wait()
        log.close()
    assert "ready for a run" in said["fedket keys doctor heart/kits/ada/local/fedket/sae.toml"]
    assert "sites    3" in said["fedket deploy statistics heart"]
    assert "the run is finished" in said["fedket deploy run heart"]


def with_group(process, sign):
    if process.poll() is None:
        os.killpg(process.pid, sign)
