"""A made-up paper: a folder of experiments that run a round in a millisecond."""

from fedket.experiment.load import dump_config
from tests.experiment.tiny import config_of

PUBLISHED = """
[paper]
source = "arXiv:0000.00000, Table 1"
row = "{title}"
reported = {reported}
assumptions = ["Adam", "rate of {name}"]
seeds = {seeds}
"""
FAST = "\n[fast]\nfederation.rounds = 1\n"


def write_row(folder, name, data, *overrides, reported=0.9, seeds=(0, 1), fast=FAST):
    """Write one experiment file of the paper that `folder` is."""
    folder.mkdir(exist_ok=True)
    config = config_of(data, f"name={name}", *overrides)
    text = dump_config(config).replace("\n[fast]\n", "\n")
    title = f"Row {name}"
    table = PUBLISHED.format(title=title, reported=reported, name=name, seeds=list(seeds))
    if reported is None:
        table = table.replace("reported = None\n", "")
    (folder / f"{name}.toml").write_text(text + table + fast)
    return folder / f"{name}.toml"
