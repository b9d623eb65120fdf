import subprocess
import sys

HEAVY = ("sklearn", "pooch", "PIL", "rich")

CODE = f"""
import sys
import jax, jaxtyping, numpy
before = {{name for name in sys.modules if name.startswith("jax.experimental")}}
import fedket.data.batches, fedket.data.partition_kinds, fedket.data.source_kinds
after = {{name for name in sys.modules if name.startswith("jax.experimental")}}
heavy = [name for name in {HEAVY!r} if name in sys.modules]
sys.exit(repr(heavy + sorted(after - before)) if heavy or after - before else 0)
"""


def test_importing_the_package_imports_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", CODE], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
