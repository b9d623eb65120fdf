"""Run an experiment into a directory: start, continue, interrupt, finish."""

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

from fedket.errors import CheckpointError
from fedket.experiment import run_directory as disk
from fedket.experiment.build import Experiment, build_experiment
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.facts import count_facts, facts_dict
from fedket.federated import FederationState
from fedket.federated.checkpoint import (
    load_checkpoint,
    params_sha256,
    save_checkpoint,
    save_params,
)

OnRound = Callable[[dict[str, Any]], None]


class RunOutcome(NamedTuple):
    """Where a run lies and how it ended; `summary` is docs/run-directory.md's summary.json."""

    directory: Path
    summary: dict[str, Any]


def start_run(
    config: ExperimentConfig,
    on_round: OnRound = lambda _: None,
    *,
    parent: Path = Path("runs"),
    output: Path | None = None,
) -> RunOutcome:
    """Run an experiment in a new directory.

    Args:
        config: What to run.
        on_round: Called with every round's record once it is on disk.
        parent: Where new run directories go.
        output: This very directory instead; must not exist or be empty.

    Raises:
        FedketError: Before anything is written, if the configuration does not work out.
    """
    experiment = build_experiment(config)
    facts = facts_dict(count_facts(experiment))
    directory = disk.new_run_directory(config, parent, output)
    disk.write_start(directory, config, facts)
    state = experiment.federation.init()
    disk.rewrite_rounds(directory, [])
    save_checkpoint(directory / disk.CHECKPOINT, state, disk.config_hash(config))
    return _continue(experiment, directory, state, [], on_round)


def resume_run(
    directory: Path,
    on_round: OnRound = lambda _: None,
    *,
    config: ExperimentConfig | None = None,
) -> RunOutcome:
    """Continue a run from its checkpoint; the result equals an uninterrupted run bit for bit.

    Args:
        directory: The run.
        on_round: As in `start_run`.
        config: Must agree with the run's own but for the number of rounds; None takes its own.

    Raises:
        CheckpointError: If the directory is damaged or belongs to another configuration; nothing
            has been changed then.
    """
    own = disk.read_config(directory)
    if config is not None:
        disk.check_same_experiment(directory, config)
    config = config or own
    experiment = build_experiment(config)
    template = experiment.federation.init()
    digest = disk.config_hash(config)
    state = load_checkpoint(directory / disk.CHECKPOINT, template, digest)
    if state.round_num > config.federation.rounds:
        raise CheckpointError(
            f"{directory} has {state.round_num} rounds, {config.federation.rounds} were asked for"
        )
    records = disk.read_rounds(directory, state.round_num)
    disk.write_start(directory, config, facts_dict(count_facts(experiment)))
    disk.rewrite_rounds(directory, records)
    return _continue(experiment, directory, state, records, on_round)


def _continue(
    experiment: Experiment,
    directory: Path,
    state: FederationState,
    records: list[dict[str, Any]],
    on_round: OnRound,
) -> RunOutcome:
    """Run the remaining rounds; on Ctrl-C save the last finished round and say so."""
    federation, plan = experiment.federation, experiment.config.federation
    digest = disk.config_hash(experiment.config)
    how = experiment.config.aggregation.kind
    key_source = experiment.config.keys.source if how == "masked" else "none"
    start, before = perf_counter(), sum(record["seconds"] for record in records)
    saved, status = state.round_num, "finished"
    try:
        while state.round_num < plan.rounds:
            next_round = state.round_num + 1
            evaluate = next_round % plan.eval_every == 0 or next_round == plan.rounds
            state, record = federation.run_round(state, evaluate)
            records.append(disk.record_dict(record, key_source))
            disk.append_round(directory, records[-1])
            if next_round % plan.checkpoint_every == 0 or next_round == plan.rounds:
                save_checkpoint(directory / disk.CHECKPOINT, state, digest)
                saved = state.round_num
            on_round(records[-1])
    except KeyboardInterrupt:
        status = "interrupted"
        records = records[: state.round_num]
        disk.rewrite_rounds(directory, records)
        if saved < state.round_num:
            save_checkpoint(directory / disk.CHECKPOINT, state, digest)
    save_params(directory / disk.MODEL, state.params)
    summary = summarise(records, before + perf_counter() - start, status)
    summary["parameters_sha256"] = params_sha256(state.params)
    disk.write_summary(directory, summary)
    return RunOutcome(directory, summary)


def summarise(records: list[dict[str, Any]], seconds: float, status: str) -> dict[str, Any]:
    """Totals over the rounds, and the last and best evaluation."""
    evaluated = [r for r in records if r["test_accuracy"] is not None]
    last = evaluated[-1] if evaluated else {"test_accuracy": None, "test_loss": None}
    return {
        "status": status,
        "rounds": len(records),
        "test_accuracy": last["test_accuracy"],
        "test_loss": last["test_loss"],
        "best_test_accuracy": max((r["test_accuracy"] for r in evaluated), default=None),
        "seconds": round(seconds, 3),
        **{k: sum(r[k] for r in records) for k in ("upload_bytes", "download_bytes", "key_bits")},
        "dropped_updates": sum(len(r["dropped"]) for r in records),
    }
