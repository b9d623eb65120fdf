"""What every process but the first does in a run: the same rounds, nothing on disk."""

from functools import partial

import jax

from fedket.errors import ProcessLostError, TrainingError
from fedket.experiment.build import build_experiment, precision
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.interrupts import handled_interrupts
from fedket.federated.federation import Federation, FederationState
from fedket.multiprocess.lockstep import Lockstep
from fedket.multiprocess.processes import led_reducer


def follow_run(config: ExperimentConfig, lockstep: Lockstep) -> bool:
    """Take part in a run that process 0 leads; no key source is opened.

    Returns:
        Whether the run was finished, rather than stopped by process 0.

    Raises:
        FedketError: This process cannot take part.
        KeyboardInterrupt: It was asked to end.
    """
    with handled_interrupts() as interrupts, precision(config):
        federation = interrupts.run(partial(build_experiment, config, led=led_reducer)).federation
        state = federation.init()
        interrupts.run(lockstep.meet)
        while (word := interrupts.run(lockstep.word)) in (b"state", b"round"):
            if word == b"state":
                state = _on_device(interrupts.run(partial(lockstep.state, state)))
            else:
                state = interrupts.run(partial(_next, lockstep, federation, state))
        if word == b"done":
            interrupts.run(partial(lockstep.confirm, state.params))
        return word == b"done"


def _on_device(state: FederationState) -> FederationState:
    params, server, clients = jax.tree.map(jax.numpy.asarray, state[1:])
    return FederationState(state.round_num, params, server, clients)


def _next(lockstep: Lockstep, federation: Federation, state: FederationState) -> FederationState:
    """Run a round; one that fails does so in all processes, and process 0 then says `stop`."""
    try:
        return lockstep.in_step(federation.run_round, state, False)[0]
    except ProcessLostError:
        raise
    except TrainingError:
        return state
