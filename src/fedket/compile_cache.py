"""Compiled programs kept on disk, so that a second run on a machine only loads them.

JAX does the keeping. Its key is the program with the versions and settings that compiled it; what
is loaded is code, so the folder is the user's own and trusted as such. Another run may fill it
at the same time.
"""

import hashlib
import os
import platform
from pathlib import Path

SETTING = "FEDKET_COMPILE_CACHE"
"""Environment variable: `off`, or a folder instead of the user's cache directory."""


def use_compile_cache() -> Path | None:
    """Keep compiled programs for this user; must come before anything compiles.

    The command line calls this; a Python program may. A user's own setting of JAX's
    (`JAX_COMPILATION_CACHE_DIR`, or `jax_compilation_cache_dir`) is left alone.

    Returns:
        The folder that this process keeps them in, by this setting; None if it is JAX's own, if
        it is off, or if there is no folder that can be written to, which nobody needs to know.
    """
    import jax

    chosen = os.environ.get(SETTING, "")
    own = jax.config.jax_compilation_cache_dir  # type: ignore[attr-defined]
    if chosen.lower() == "off" or own:
        return None
    folder = (Path(chosen).expanduser() if chosen else _of_user()) / _machine()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return None
    if not os.access(folder, os.W_OK | os.X_OK):
        return None
    keep_compiled(folder)
    return folder


def keep_compiled(folder: Path) -> None:
    """Keep compiled programs in this folder, also those that compile quickly."""
    import jax

    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)


def _of_user() -> Path:
    import pooch

    return Path(pooch.os_cache("fedket")).expanduser() / "compiled"


def _machine() -> str:
    """Name of a kind of processor: a home directory may be shared by machines of several."""
    about = platform.processor()
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("flags", "Features")):
                about = line
                break
    except OSError:
        pass
    return f"{platform.machine()}-{hashlib.sha256(about.encode()).hexdigest()[:12]}"
