"""What `fedket doctor` looks at: packages, devices, kernels, data, compiled programs."""

import os
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution, version
from typing import TYPE_CHECKING

from fedket.cli.failures import one_line
from fedket.keys.etsi014.doctor import Check

if TYPE_CHECKING:
    from packaging.requirements import Requirement

FOR_AUTHORS = {"dev", "docs"}
"""Extras that nobody needs to use fedket."""

VARIABLES = ("FEDKET_", "JAX_", "XLA_", "PJRT_", "OMP_", "MALLOC_", "CUDA_VISIBLE", "MPLCONFIG")
"""Beginnings of the names of environment variables that change how a run is computed."""

TOLERANCE = 1e-5
"""Largest error of a small circuit's amplitudes in float32."""


def examine() -> Iterator[Check]:
    """All checks, in the order in which they are printed."""
    from fedket._version import __version__
    from fedket.cores import num_cores

    system = f"Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    yield Check("fedket", "ok", f"{__version__}, {system}")
    yield from _check_packages()
    yield Check("cores", "ok", f"{num_cores()} of {os.cpu_count()}, those this process may use")
    yield from _check_computing()
    yield _check_data()
    yield _check_cache()
    found = [f"{name}={value}" for name, value in os.environ.items() if name.startswith(VARIABLES)]
    yield Check(
        "environment variables", "ok", " ".join(sorted(found)) or "none that matters is set"
    )


def _check_packages() -> Iterator[Check]:
    from packaging.requirements import Requirement

    try:
        about = distribution("fedket")
    except PackageNotFoundError:
        yield Check("packages", "note", "fedket runs from a folder; install it: pip install -e .")
        return
    stated = [Requirement(text) for text in about.requires or []]
    extras = [
        name for name in about.metadata.get_all("Provides-Extra", []) if name not in FOR_AUTHORS
    ]
    for extra in ["", *sorted(extras)]:
        needed = [r for r in stated if bool(extra) == bool(r.marker) and _applies(r, extra)]
        yield judge_extra(extra, {r: _version(r.name) for r in needed})


def _applies(requirement: "Requirement", extra: str) -> bool:
    return requirement.marker is None or requirement.marker.evaluate({"extra": extra})


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def judge_extra(extra: str, found: dict["Requirement", str]) -> Check:
    """What fedket itself (`""`) or an extra of it needs, with the versions found; "" is absent."""
    name, install = (f"extra {extra}", f"fedket[{extra}]") if extra else ("packages", "fedket")
    wrong = [
        f"{needed.name} is {has or 'missing'}, needed is {needed.name}{needed.specifier}"
        for needed, has in found.items()
        if not (has and needed.specifier.contains(has, prereleases=True))
    ]
    if extra and not all(found.values()):
        return Check(name, "note", f"not installed; for it: pip install '{install}'")
    if wrong:
        advice = f"pip install --upgrade '{install}'"
        return Check(name, "fail", f"{'; '.join(wrong)}; put right by: {advice}")
    return Check(name, "ok", ", ".join(f"{needed.name} {has}" for needed, has in found.items()))


def _check_computing() -> Iterator[Check]:
    """Devices, compiled kernels, and whether a circuit comes out right on them."""
    import jax

    try:
        devices = [f"{device.platform} {device.device_kind}" for device in jax.devices()]
    except RuntimeError as error:
        yield Check("devices", "fail", f"JAX finds none: {one_line(error)}; see JAX_PLATFORMS")
        return
    yield Check(
        "devices", "ok", ", ".join(f"{devices.count(d)} × {d}" for d in dict.fromkeys(devices))
    )
    from fedket.quantum import native, noise

    try:
        engine, package = native.engine_name(), native.kernels()
    except (OSError, AttributeError, StopIteration) as error:
        advice = "build them anew (pip install ./native) or set FEDKET_NATIVE=0"
        yield Check("compiled kernels", "fail", f"cannot be loaded: {one_line(error)}; {advice}")
        return
    if package is None:
        off = os.environ.get("FEDKET_NATIVE") == "0"
        advice = (
            "FEDKET_NATIVE=0" if off else "pip install ./native in a checkout, 3 to 6 × as fast"
        )
        yield Check("compiled kernels", "note", f"not in use; {advice}")
    elif not noise.native.available():
        yield Check(
            "compiled kernels", "fail", "older than fedket; build them anew: pip install ./native"
        )
    else:
        yield Check("compiled kernels", "ok", engine)
    yield _check_circuit()


def _check_circuit() -> Check:
    import jax.numpy as jnp

    from fedket.quantum.ansatz import strongly_entangling
    from fedket.quantum.engine import run_circuit
    from fedket.quantum.reference import reference_run

    circuit = strongly_entangling(3, 2)
    angles = jnp.arange(1.0, 1.0 + 18).reshape(circuit.params_shape)
    psi = jnp.eye(8, dtype=jnp.complex64)
    gap = abs(run_circuit(circuit, angles, psi) - reference_run(circuit, angles, psi)).max()
    found = f"amplitudes are within {gap:.0e} of the reference"
    return Check("circuit", "ok" if gap < TOLERANCE else "fail", found)


def _check_data() -> Check:
    from fedket.data.sources import data_directory, stored

    directory, named = data_directory(), bool(os.environ.get("FEDKET_DATA"))
    place = f"{directory} ({'FEDKET_DATA' if named else 'FEDKET_DATA is not set'})"
    if not directory.is_dir():
        missing = "is no folder; correct FEDKET_DATA" if named else "is made by the first download"
        return Check("data directory", "fail" if named else "note", f"{place} {missing}")
    there = [name for name, is_there in stored(directory).items() if is_there]
    return Check("data directory", "ok", f"{place} has {', '.join(there) or 'no data set of ours'}")


def _check_cache() -> Check:
    from fedket.compile_cache import SETTING, use_compile_cache

    chosen, own = os.environ.get(SETTING, ""), os.environ.get("JAX_COMPILATION_CACHE_DIR")
    folder = use_compile_cache()
    if folder is not None:
        sizes = [file.stat().st_size for file in folder.glob("*-cache")]
        return Check(
            "compile cache", "ok", f"{folder}: {len(sizes)} programs, {sum(sizes) / 1e6:.1f} MB"
        )
    if own or chosen.lower() == "off":
        return Check("compile cache", "ok", own or f"{SETTING}=off")
    where = chosen or "the user's cache directory"
    return Check(
        "compile cache", "fail", f"cannot write to {where}; set {SETTING} to a folder or off"
    )
