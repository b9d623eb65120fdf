"""From an experiment file to a run directory."""

from .build import Experiment as Experiment
from .build import build_experiment as build_experiment
from .config import ExperimentConfig as ExperimentConfig
from .facts import count_facts as count_facts
from .facts import drawing as drawing
from .load import dump_config as dump_config
from .load import load_config as load_config
from .load import parse_config as parse_config
from .run import RunOutcome as RunOutcome
from .run import resume_run as resume_run
from .run import start_run as start_run
from .run_directory import read_config as read_config
from .shipped import ShippedExperiment as ShippedExperiment
from .shipped import find_experiment as find_experiment
from .shipped import shipped_experiments as shipped_experiments
