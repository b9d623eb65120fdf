"""An engine of one's own: how the clients of a round are trained, here all on a chosen device.

Run it with `python examples/extend/engine.py`, or name it: `[engine] kind = "engine.py:OnDevice"`.
"""

from collections.abc import Callable
from typing import Any

import jax

import fedket as fk


def on_device(index: int) -> Callable[..., fk.Engine]:
    """Our engine for clients side by side, but on device `index` instead of JAX's first."""

    def make(*federation: Any) -> fk.Engine:
        engine = fk.vectorised_engine(*federation)

        def run(*a_round: Any) -> Any:
            with jax.default_device(jax.devices()[index]):
                return engine.run(*a_round)

        return engine._replace(run=run)

    return make


class OnDevice(fk.EngineConfig):
    """The keys of `[engine]`, beside `dtype` and `memory_limit_mb`."""

    index: int = 0

    def build(self, context: fk.Context) -> Callable[..., fk.Engine]:
        """What `make_federation` calls with the parts of a federation."""
        return on_device(self.index)


if __name__ == "__main__":
    from first import demonstrate

    demonstrate(engine=on_device(0))
