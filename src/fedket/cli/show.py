"""`fedket show`, `list`, `report` and `export`: what there is to run, what it costs, what came."""

import enum
import json
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from fedket.cli.failures import stopping_early
from fedket.cli.options import (
    FastOption,
    JsonOption,
    OptionalFile,
    SetOption,
    WhichModel,
    WhichOption,
    load_experiment,
)
from fedket.cli.tables import print_table
from fedket.errors import ConfigError, meant
from fedket.experiment.interrupts import handled_interrupts

if TYPE_CHECKING:
    from fedket.experiment.predictor import Which


def show(
    file: OptionalFile = None,
    overrides: SetOption = None,
    fast: FastOption = False,
    kind: Annotated[
        str, typer.Option(metavar="NAME", help="Instead, the keys of a table or a kind.")
    ] = "",
    settings: Annotated[
        bool, typer.Option("--settings", help="Every setting as well, as a file that can be run.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what an experiment is and what a round of it costs, before running it.

    FILE is an experiment file (TOML), one of its rows (FILE.toml:ROW), or the
    name of a shipped experiment.

    Example: fedket show --kind strategy.fed_adam
    """
    if (file is None) == (not kind):
        raise ConfigError("name either an experiment or, with --kind, a table or kind")
    if file is None:
        _show_kind(kind, as_json)
        return
    config = load_experiment(file, overrides, fast)
    from fedket.cli.progress import print_facts
    from fedket.deploy.engines.kind import SitesConfig
    from fedket.deploy.local import simulated
    from fedket.experiment.build import build_experiment
    from fedket.experiment.facts import count_facts
    from fedket.experiment.load import dump_config
    from fedket.quantum.draw import draw_circuit

    at_sites = isinstance(config.engine, SitesConfig)
    counted = simulated(config) if at_sites else config
    with stopping_early(), handled_interrupts() as interrupts:
        experiment = interrupts.run(partial(build_experiment, counted))
    facts, circuit = count_facts(experiment), experiment.model.circuit
    drawing = draw_circuit(circuit) if circuit else ""
    if as_json:
        values: dict[str, Any] = {"name": config.name, **facts.model_dump()}
        values |= {"circuit": drawing, "config": config.model_dump(mode="json")}
        typer.echo(json.dumps(values))
        return
    what = f"{config.model.kind}, {config.strategy.kind}, {config.federation.rounds} rounds"
    typer.echo(": ".join(filter(None, [config.name, config.description])) + f" ({what})\n")
    print_facts(facts, config.federation.evaluation(config.num_clients), at_sites)
    if drawing:
        typer.echo(f"\n{drawing}")
    if settings:
        typer.echo(f"\n{dump_config(config)}")
    else:
        typer.echo("\nEvery setting, defaults included: the same with --settings")


def _show_kind(name: str, as_json: bool) -> None:
    from fedket.experiment.reference import entry_of

    entry = entry_of(name)
    if as_json:
        keys = [key._asdict() for key in entry.keys]
        typer.echo(json.dumps({**entry._asdict(), "keys": keys}))
        return
    typer.echo(f"{entry.name}: {entry.meaning}")
    for key in entry.keys:
        given = f" = {key.default}" if key.default else ", required"
        typer.echo(f"\n{key.name}{given}    ({key.values})")
        if key.meaning:
            typer.echo(f"    {key.meaning}")


def list_experiments(
    group: Annotated[str, typer.Argument(help="A group, such as a paper's; default: all.")] = "",
    kinds: Annotated[bool, typer.Option("--kinds", help="What an experiment may name.")] = False,
    as_json: JsonOption = False,
) -> None:
    """List the shipped experiments by group, or those of one group; or the kinds of everything.

    Example: fedket list qfedfisher
    """
    if kinds:
        _list_kinds(as_json)
        return
    from fedket.experiment.shipped import shipped_experiments

    shipped = shipped_experiments()
    groups = {s.paper: [] for s in shipped if s.paper} | {"": []}  # type: dict[str, list[Any]]
    for experiment in shipped:
        groups[experiment.paper].append(experiment)
    if group not in groups:
        raise ConfigError(f"no group `{group}`{meant(group, groups)} (`fedket list` shows all)")
    if as_json:
        chosen = groups[group] if group else shipped
        typer.echo(json.dumps([{**s._asdict(), "path": str(s.path)} for s in chosen]))
        return
    rows = [(s.name, s.description) for s in groups[group]]
    if group:
        print_table(rows)
        typer.echo(f"All of them, each for several seeds: fedket reproduce {group}")
        return
    print_table(rows + [(name, _names(own)) for name, own in groups.items() if name])
    typer.echo("Those of a group: fedket list GROUP; one of them: fedket run GROUP/NAME")


def _names(experiments: list[Any]) -> str:
    names = [e.name.rpartition("/")[2] for e in experiments]
    return f"{len(names)} experiments: {', '.join(names[:3])}{', …' if len(names) > 3 else ''}"


def _list_kinds(as_json: bool) -> None:
    from fedket.kinds import BUILT_IN, kinds_of, made_of

    names = {group: [*kinds_of(group), *made_of(group)] for group in BUILT_IN}
    if as_json:
        typer.echo(json.dumps(names))
        return
    print_table((group, ", ".join(known)) for group, known in names.items())
    typer.echo("Keys of one: fedket show --kind GROUP.NAME; your own: FILE.py:NAME")


def report(
    directories: Annotated[
        list[Path], typer.Argument(help="One run, several to compare, or a sweep.")
    ],
    output: Annotated[Path | None, typer.Option(help="HTML file to write.")] = None,
    by: Annotated[
        list[str] | None, typer.Option(help="TABLE.KEY whose values are lines; repeatable.")
    ] = None,
    panel: Annotated[
        list[str] | None, typer.Option(help="TABLE.KEY whose values are panels; repeatable.")
    ] = None,
    metric: Annotated[
        str, typer.Option(help="What is drawn and compared: test_accuracy, macro_f1, ece, …")
    ] = "",
    latex: Annotated[Path | None, typer.Option(help="Write the table of results, too.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a self-contained HTML report of one run, or of several compared.

    DIRECTORIES are what `fedket run` and `fedket sweep` wrote. The report of
    one goes into it, a comparison to comparison.html. Runs that differ only
    in their seeds are one line with a band. Every figure can be saved from
    the page as SVG, PDF and PNG, its numbers as CSV.

    Example: fedket report runs/* --by strategy.kind --panel partition.alpha
    """
    from fedket.report import View, write_report

    view = View(tuple(by or ()), tuple(panel or ()), metric, downloads=True)
    path = write_report(directories, output, view, latex)
    written = {"report": str(path)} | ({"latex": str(latex)} if latex else {})
    typer.echo(json.dumps(written) if as_json else "\n".join(written.values()))


class ExportChoice(enum.StrEnum):
    """What can be written of a run."""

    NETWORK = "network"
    ONNX = "onnx"
    SAFETENSORS = "safetensors"
    NPZ = "npz"
    QASM = "qasm"
    QISKIT = "qiskit"
    PENNYLANE = "pennylane"


def export(
    directory: Annotated[Path, typer.Argument(help="A run.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="File to write.")],
    to: Annotated[
        ExportChoice,
        typer.Option(
            help="The plain network (safetensors or ONNX), all parameters as they are "
            "(safetensors or npz), or the trained circuit."
        ),
    ] = ExportChoice.NETWORK,
    which: WhichOption = WhichModel.LAST,
    as_json: JsonOption = False,
) -> None:
    """Write what a run has trained: a plain network, parameters, or the circuit in a language.

    A network's file has PyTorch's names and layouts, or is ONNX. Parameters
    are those of any model, by name. Circuits have their weights as numbers:
    OpenQASM 3, Qiskit's QPY, or Python with a QNode.

    Example: fedket export runs/qfed-central-fast-0-1 -o cnn.safetensors
    """
    chosen: Which = which.value
    if to in (ExportChoice.NETWORK, ExportChoice.ONNX):
        facts, shown = _export_network(directory, output, chosen, to is ExportChoice.ONNX)
    elif to in (ExportChoice.SAFETENSORS, ExportChoice.NPZ):
        from fedket.experiment.export import export_params

        arrays = export_params(directory, output, chosen, to is ExportChoice.NPZ)
        facts = {"output": str(output), "arrays": {n: list(a.shape) for n, a in arrays.items()}}
        shown = f"{output}: {', '.join(f'{n} {a.shape}' for n, a in arrays.items())}"
    else:
        from fedket.experiment.export_circuit import Language, export_circuit

        circuit = export_circuit(directory, output, cast(Language, to.value), chosen)
        count = len(circuit.operations)
        facts = {"output": str(output), "qubits": circuit.num_qubits, "gates": count}
        shown = f"{output}: {circuit.num_qubits} qubits, {count:,} gates"
    typer.echo(json.dumps(facts) if as_json else shown)


def _export_network(
    directory: Path, output: Path, which: "Which", as_onnx: bool
) -> tuple[dict[str, Any], str]:
    from fedket.experiment.export import export_network

    network = export_network(directory, output, which, as_onnx)
    plan = network.plan
    facts = {"output": str(output), "weights": plan.num_weights, "layers": list(plan.words)}
    return facts, f"{output}: {plan.num_weights:,} weights, {', '.join(plan.words)}"
