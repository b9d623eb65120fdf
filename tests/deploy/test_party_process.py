"""The process of a startup kit: what ends it, and what it does not load."""

import os
import signal
import subprocess
import sys

STUBBORN = """
import sys, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
print(__name__, *sys.argv[1:], flush=True)
time.sleep(60)
"""


def test_an_interrupt_ends_a_party_whose_threads_wait(tmp_path):
    (tmp_path / "stubborn.py").write_text(STUBBORN)
    command = [sys.executable, "-m", "fedket.deploy.engines.flare.party", "stubborn", "-m", "kit"]
    paths = [str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "__main__ -m kit\n"
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=20) == -signal.SIGINT


def test_a_process_that_only_passes_messages_on_or_watches_loads_no_jax():
    names = ("party", "guard", "rejoin", "commands")
    rooms = [f"fedket.deploy.engines.flare.{name}" for name in names]
    rooms += ["fedket.cli.app", "fedket.cli.deploy_page", "fedket.deploy.operating.serving"]
    code = f"import sys, {', '.join(rooms)}; sys.exit('jax' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
