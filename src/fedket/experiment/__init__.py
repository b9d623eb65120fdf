"""From an experiment file to a run directory.

Names are imported when first used: a wrong key in a file is told before JAX is even loaded.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fedket.experiment.build import Experiment as Experiment
    from fedket.experiment.build import build_experiment as build_experiment
    from fedket.experiment.config import ExperimentConfig as ExperimentConfig
    from fedket.experiment.facts import Facts as Facts
    from fedket.experiment.facts import count_facts as count_facts
    from fedket.experiment.facts import drawing as drawing
    from fedket.experiment.facts import facts_dict as facts_dict
    from fedket.experiment.load import dump_config as dump_config
    from fedket.experiment.load import load_config as load_config
    from fedket.experiment.load import parse_config as parse_config
    from fedket.experiment.run import RunOutcome as RunOutcome
    from fedket.experiment.run import resume_run as resume_run
    from fedket.experiment.run import start_run as start_run
    from fedket.experiment.run_directory import read_config as read_config
    from fedket.experiment.shipped import ShippedExperiment as ShippedExperiment
    from fedket.experiment.shipped import find_experiment as find_experiment
    from fedket.experiment.shipped import shipped_experiments as shipped_experiments

_HOMES = {
    "build": ("Experiment", "build_experiment"),
    "config": ("ExperimentConfig",),
    "facts": ("Facts", "count_facts", "drawing", "facts_dict"),
    "load": ("dump_config", "load_config", "parse_config"),
    "run": ("RunOutcome", "resume_run", "start_run"),
    "run_directory": ("read_config",),
    "shipped": ("ShippedExperiment", "find_experiment", "shipped_experiments"),
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [*_MODULE_OF]


def __getattr__(name: str) -> Any:
    """Import a public name from its module on first use."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'fedket.experiment' has no attribute {name!r}")
    return getattr(import_module(f"fedket.experiment.{_MODULE_OF[name]}"), name)
