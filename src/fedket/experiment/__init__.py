"""From an experiment file to a run directory."""

from fedket.experiment.build import Experiment, build_experiment
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.facts import Facts, count_facts, drawing, facts_dict
from fedket.experiment.load import dump_config, load_config, parse_config
from fedket.experiment.run import RunOutcome, resume_run, start_run
from fedket.experiment.run_directory import read_config
from fedket.experiment.shipped import ShippedExperiment, shipped_experiments

__all__ = [
    "Experiment",
    "ExperimentConfig",
    "Facts",
    "RunOutcome",
    "ShippedExperiment",
    "build_experiment",
    "count_facts",
    "drawing",
    "dump_config",
    "facts_dict",
    "load_config",
    "parse_config",
    "read_config",
    "resume_run",
    "shipped_experiments",
    "start_run",
]
