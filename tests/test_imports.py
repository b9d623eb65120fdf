"""Importing fedket is cheap, and heavy packages come in only where they are used."""

import subprocess
import sys

HEAVY = {"matplotlib", "pennylane", "torch", "sklearn", "pooch", "PIL", "qiskit", "openqasm3"}


def modules_after(statement):
    code = f"{statement}; import sys; print(*{{m.split('.')[0] for m in sys.modules}})"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(result.stdout.split())


def test_import_fedket_loads_no_jax():
    assert not modules_after("import fedket") & (HEAVY | {"jax", "numpy"})


def test_the_whole_library_loads_nothing_heavy():
    rooms = "fedket.federated, fedket.secure, fedket.keys, fedket.experiment, fedket.report"
    assert not modules_after(f"import {rooms}, fedket.cli") & HEAVY
