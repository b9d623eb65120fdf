"""Compiling a site's circuits in a process of its own, so that the site does not keep the memory.

A compiler leaves 40 MiB behind in the process that ran it. So the first time, a child process
compiles into the site's cache, and the site only loads. Sites that share a cache (`fedket deploy
local`) share what is compiled, too: one of them compiles for all with arrays of the same shapes.
"""

import gc
import hashlib
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from fedket._version import __version__
from fedket.allocator import return_freed_memory
from fedket.compile_cache import keep_compiled
from fedket.files import lock_directory

CACHE = "cache"
"""Folder of compiled circuits, beside `site.toml`."""

LOOK_S = 0.5
"""How often a site looks whether another one has compiled for both."""


def compile_apart(site_file: Path, classes: int, largest: int, program: str) -> bool:
    """Fill a site's cache in a child process, if it has not been done for this program.

    Args:
        site_file: A site's `site.toml`, in its folder.
        classes: Classes of the federation.
        largest: Samples of its largest site.
        program: What else the compiled program depends on: experiment, shapes of samples.

    Returns:
        Whether the cache is filled; if not, the site compiles itself.
    """
    cache = site_file.parent / CACHE
    cache.mkdir(exist_ok=True)
    about = f"{__version__} {classes} {largest} {program}"
    mark = cache / f"done-{hashlib.sha256(about.encode()).hexdigest()[:16]}"
    command = [sys.executable, "-m", __name__, str(site_file), str(classes), str(largest)]
    while not mark.exists():
        with lock_directory(cache) as ours:
            if ours and not mark.exists():
                done = subprocess.run(command, check=False, capture_output=True)  # noqa: S603
                if done.returncode:
                    return False
                mark.touch()
        if not ours:
            time.sleep(LOOK_S)
    return True


def forget_tracing() -> None:
    """Drop the traced programs that compiling ahead leaves in this process.

    What is left stays for the whole job: the garbage collector, which takes 0.3 s to look through
    it, need not do so again.
    """
    import jax

    with suppress(RuntimeError):  # another thread compiles at this moment
        jax.clear_caches()
    gc.collect()
    gc.freeze()
    return_freed_memory()


def main(site_file: Path, classes: int, largest: int) -> None:
    """Compile what a site will run."""
    from fedket.deploy.files import read_experiment, read_site, seats_of
    from fedket.deploy.site_data import load_site_data
    from fedket.deploy.site_trainer import SiteTrainer, make_task

    keep_compiled(site_file.parent / CACHE)
    file = read_site(site_file)
    config = read_experiment(file.experiment, len(seats_of(file)))
    dataset = load_site_data(file, config)
    task = make_task(config, dataset.x_train.shape[1:], classes)
    trainer = SiteTrainer(task, dataset, file.client, largest)
    trainer.compile()
    cohort = file.client, file.client + 1
    context = task.round(0, cohort, dict.fromkeys(cohort, 1))
    contribution = trainer.contribute(trainer.blank, context)
    if contribution is not None:
        protocol = task.protocol
        coder = protocol.coder(protocol.quantiser, protocol.clip, context, task.num_values)
        coder.encode(file.client, contribution)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
