"""README's tables of speed, from the stored runs alone: `python -m benchmarks.table [--write]`.

A ratio is taken within a pass of a run; a cell gives the median over the passes of all stored runs
and, in brackets, the least and the largest: never the best alone.
"""

import argparse
import json
from collections.abc import Iterable
from statistics import median
from typing import Any

from benchmarks.figures import paired
from benchmarks.run import ONE_CORE, RESULTS, ROOT

README = ROOT / "README.md"
START, END = "<!-- from stored runs: make bench -->\n", "<!-- until here -->\n"
STEPS = {
    "a": "10 qubits × 60 layers, batch 32 (QFedFisher)",
    "a-of-1": "the same as ten steps of one client, each",
    "b": "13-qubit generator + CNN, batch 128 (QFed)",
    "c": "6 qubits × 20 layers, batch 32",
    "round-20": "a round of 20 clients, 4 steps of 32 each (Chen and Yoo)",
    "round-100": "a round of 100 clients",
    "sweep": "a sweep over eight seeds, 10 clients, 100 rounds",
}
PEERS = {
    "torchquantum": "TorchQuantum, static",
    "torchquantum_modules": "gate by gate",
    "pennylane_default": "PennyLane default (torch)",
    "pennylane_lightning": "lightning",
}
NOISY = {
    "4x2": "4 qubits × 2 layers, 2 values (Chen and Yoo)",
    "6x4": "6 qubits × 4 layers, 1 value (QuNetQFL)",
    "6x20": "6 qubits × 20 layers, 10 values",
    "8x20": "8 qubits × 20 layers, 10 values",
    "10x60": "10 qubits × 60 layers, 10 values (QFedFisher)",
    "13x16": "13 qubits × 16 layers, one state (QFed)",
    "round": "a round of 20 clients, 4 qubits",
}
RESTRICTED = {
    ONE_CORE: "one core",
    "fedket_one_taken": "one core taken by another process",
    "fedket_jax": "without compiled kernels",
}
SUMS = {
    "n200-d61706-q16-lost0-k22": "200 clients, 22 neighbours, 16 bits",
    "n16-d61706-q16-lost0-k15": "16 clients",
}

Run = dict[str, Any]


def main() -> None:
    """Print the tables, or put them into README."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--write", action="store_true", help="put them into README.md")
    text = tables(stored())
    if not parser.parse_args().write:
        print(text, end="")
        return
    before, _, rest = README.read_text().partition(START)
    README.write_text(before + START + text + END + rest.partition(END)[2])


def stored() -> list[Run]:
    """Return the published runs, oldest first."""
    return [json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))]


def tables(runs: list[Run]) -> str:
    """Return what README says between its marks."""
    parts = [steps(runs), cores(runs), noisy(runs), sums(runs), scale(runs), sweeps(runs),
             federations(runs)]  # fmt: skip
    if not any(parts):
        return "No run is stored: `make bench` makes some on a machine that does nothing else.\n"
    return "\n".join("\n".join([*part, ""]) for part in (_source(runs), *parts) if part)


def steps(runs: list[Run]) -> list[str]:
    """Times of fedket, and how many times longer each peer takes."""
    found = _of(runs, "gradient")
    rows = []
    for workload, name in STEPS.items():
        if ours := _values(found, "fedket", workload, "ms"):
            limit = _ratios(found, ("fedket", workload), None) if workload == "a" else []
            peers = (_ratios(found, (peer, workload), ("fedket", workload)) for peer in PEERS)
            cells = [_cell(ours), _cell(limit), *(_cell(peer, "×") for peer in peers)]
            rows.append(_row(name, *cells))
    head = ("loss and gradient of", "fedket, ms", "÷ C on one core", *PEERS.values())
    return _table(head, rows)


def cores(runs: list[Run]) -> list[str]:
    """What fewer cores cost, and doing without the compiled kernels."""
    found = _of(runs, "gradient")
    rows = []
    for workload, name in STEPS.items():
        sides = [(side, workload) for side in RESTRICTED]
        ratios = [_ratios(found, side, ("fedket", workload)) for side in sides]
        if any(ratios):
            rows.append(_row(name, *(_cell(ratio, "×") for ratio in ratios)))
    head = ("fedket's time, beside all cores", *RESTRICTED.values())
    return _table(head, rows)


def noisy(runs: list[Run]) -> list[str]:
    """What noise costs beside the noiseless engine, and what it costs elsewhere."""
    found = _of(runs, "noise")
    rows = []
    for workload, name in NOISY.items():
        figures = ("plain_ms", "exact_ratio", "thermal_ratio", "trajectory_ratio",
                   "trajectories_ratio", "off_ratio", "pennylane_mixed_to_exact",
                   "pennylane_mixed_jit_to_exact", "aer_parameter_shift_to_exact")  # fmt: skip
        values = [_values(found, "fedket", workload, figure) for figure in figures]
        if values[0]:
            rows.append(_row(name, _cell(values[0]), *(_cell(value, "×") for value in values[1:])))
    head = ("loss and gradient, batch 32", "without noise, ms", "depolarising, exact",
        "with relaxation, exact", "a trajectory", "of several, each", "a model of no noise",
        "PennyLane default.mixed ÷ exact", "compiled by JAX",
        "Aer, parameter shift ÷ exact")  # fmt: skip
    return _table(head, rows)


def sums(runs: list[Run]) -> list[str]:
    """CPU seconds of secure sums."""
    found = _of(runs, "secure")
    sides = ("pairwise", "shared", "flower_secaggplus", "tenseal_ckks")
    rows = []
    for case, name in SUMS.items():
        values = [_values(found, side, case, "cpu_s") for side in sides]
        if any(values):
            rows.append(_row(name, *map(_cell, values)))
    head = ("secure sum of 61,706 numbers, CPU seconds", "pairwise pads", "shared masks",
        "Flower SecAgg+", "TenSEAL CKKS")  # fmt: skip
    return _table(head, rows)


def scale(runs: list[Run]) -> list[str]:
    """Time and memory of the largest things."""
    names = {
        "1000-of-1000000": "a round of 1,000 clients sampled from a million",
        "20-qubits": "gradient of 20 qubits × 5 layers, batch 4",
    }
    found = _of(runs, "scale")
    rows = []
    for workload, name in names.items():
        ms, mib = (_values(found, "fedket", workload, what) for what in ("ms", "peak_mib"))
        if ms:
            rows.append(_row(name, _cell(ms), _cell([value / 1024 for value in mib])))
    head = ("large", "ms", "peak memory, GiB")
    return _table(head, rows)


def sweeps(runs: list[Run]) -> list[str]:
    """Many runs as one command, and as so many."""
    found = _of(runs, "sweep")
    ours = ("fedket", "sweep")
    alone = _ratios(found, (ONE_CORE, "sweep"), ours, "s")
    apart = _ratios(found, ("fedket", "separate"), ours, "s")
    head = ("30 runs of the quickstart, 60 rounds each", "`fedket sweep`, s", "on one core",
        "30 commands")  # fmt: skip
    cells = _cell(_values(found, *ours, "s")), _cell(alone, "×"), _cell(apart, "×")
    return _table(head, [_row("from Python's start to the report", *cells)] if found else [])


FEDERATIONS = {
    "3-sites": "3 sites",
    "10-sites": "10 sites",
    "5-sites-million": "5 sites, 10⁶ values",
    "40-sites": "40 sites",
    "deaths": "6 sites, one dead, one restarted",
}


def federations(runs: list[Run]) -> list[str]:
    """Rounds on NVIDIA FLARE."""
    found = _of(runs, "federation")
    rows = []
    for workload, name in FEDERATIONS.items():
        figures = ("round_s", "training_ms", "mib_per_site", "end_s")
        values = [_values(found, "fedket", workload, figure) for figure in figures]
        if any(values):
            rows.append(_row(name, *map(_cell, values)))
    head = ("masked round on NVIDIA FLARE, mutual TLS, one machine", "s", "of it training, ms",
        "MiB per site", "s from the last to the end")  # fmt: skip
    return _table(head, rows)


def _source(runs: list[Run]) -> list[str]:
    """Where the numbers come from."""
    machines = sorted({f"{run['machine']['cpu']}, {run['machine']['cores']} cores" for run in runs})
    passes, least = sum(processes := [run["processes"] for run in runs]), min(processes)
    how_many = f"{len(runs)} stored run{'s' * (len(runs) > 1)}"
    return [
        f"Median (least to largest) over {how_many}, {passes} passes of fresh processes, at least",
        f"{least} a run; {'; '.join(machines)}. × is times fedket's.",
    ]


def _of(runs: list[Run], benchmark: str) -> list[Run]:
    return [run for run in runs if run["benchmark"] == benchmark]


def _values(runs: Iterable[Run], side: str, workload: str, figure: str) -> list[float]:
    found = (run["sides"].get(side, {}).get(workload, {}).get(figure) for run in runs)
    return [value for spread in found if spread for value in spread["values"]]


def _ratios(
    runs: Iterable[Run], one: tuple[str, str], other: tuple[str, str] | None, figure: str = "ms"
) -> list[float]:
    """Ratios of times of one side's workload to another's, or to C."""
    ratios: list[float] = []
    for run in runs:
        records = [run["sides"].get(side, {}).get(w, {}) for side, w in filter(None, (one, other))]
        times = [record.get(figure) for record in records]
        times += [] if other else [(run["limit"] or {}).get("ms")]
        if all(times):
            ratios += paired(*times)
    return ratios


def _cell(values: list[float], unit: str = "") -> str:
    if not values:
        return "–"
    low, middle, high = (_short(f(values)) for f in (min, median, max))
    return f"{middle}{unit}" + (f" ({low} to {high})" if low != high else "")


def _short(value: float) -> str:
    """Two digits below ten, whole numbers from there on."""
    return f"{value:,.0f}" if value >= 10 else f"{value:.2g}"


def _table(head: tuple[str, ...], rows: list[str]) -> list[str]:
    return [_row(*head), "|" + "---|" * len(head), *rows] if rows else []


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    main()
