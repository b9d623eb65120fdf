"""The server's rounds over sites that it only reaches by messages.

A round whose sum cannot be opened is lost: the model stays as it is, and the next round begins.
It is not repeated, since the same updates in another group would give single ones away.
"""

import math
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from fedket.deploy.party_keys import PartyKeys
from fedket.deploy.patience import RETRY_S, fill_patiently
from fedket.deploy.site import masking_of
from fedket.deploy.site_trainer import Task, pack_params, read_metrics
from fedket.deploy.sums import round_context, server_sum
from fedket.errors import ProtocolError, RoundLostError, TrainingError
from fedket.experiment.aggregation import demand_of
from fedket.experiment.build import precision
from fedket.federated.cohort import sample_cohort
from fedket.federated.evaluate import Evaluation, evaluation_batch, make_scorer
from fedket.federated.federation import Federation, FederationState, RoundRecord
from fedket.federated.trainer import as_numbers, server_step, tree_bytes
from fedket.keys.etsi014.errors import AgreementError, KmeUnreachableError
from fedket.rng import Purpose, rng_for
from fedket.secure.phases import Failure, Outcomes, Payload, Phase, drive
from fedket.types import SERVER, Contribution, Dataset, Params, RoundContext, Traffic


@runtime_checkable
class Members(Protocol):
    """The sites of a session, as the server sees them."""

    def gather(self) -> Mapping[int, int]:
        """Let in who waits outside; return the samples of every site that is there."""
        ...

    def absent(self) -> Mapping[int, str]:
        """Return who is away, and why."""
        ...

    def execute(self, phase: Phase) -> Outcomes:
        """Carry a request to sites and return what they answered, before its deadline."""
        ...


class SiteRounds:
    """Rounds of a federation of sites; `federation` is what `fedket.experiment.run` runs.

    Args:
        task: What is trained.
        sites: Sites in all.
        members: Those that are there.
        keys: The server's ends of its links.
        session: Name of this start of the run, another for every start.
        test: Samples of the server's own for evaluation, or None.
        deadline: Seconds for each phase, unless the members knows better.
        opened: See `server_sum`.
        least: Sites without which no round is held.
        say: Where news go.
    """

    def __init__(
        self,
        task: Task,
        sites: int,
        members: Members,
        keys: PartyKeys,
        session: str,
        test: Dataset | None = None,
        deadline: float = 60.0,
        opened: Path | None = None,
        least: int = 2,
        say: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._task, self._sites, self._members, self._test = task, sites, members, test
        self._keys, self._source, self._session = keys, keys.source(session), session
        self._deadline, self._masking = deadline, masking_of(task, sites)
        self._opened, self._least, self._say = opened, least, say
        self._apply = jax.jit(lambda s, p, t: server_step(task.strategy, s, p, t))
        if test is not None:
            x = jnp.asarray(test.x_test, task.config.engine.dtype)
            batch = evaluation_batch(task.model, x, task.config.engine.memory_limit_mb)
            self._score = make_scorer(task.model, batch, task.config.training.loss.function)

    def federation(self) -> Federation:
        """Return the federation."""
        within = precision(self._task.config)
        return Federation(
            within(self._init), within(self._run_round), within(self._evaluate), lambda: 1
        )

    def _init(self) -> FederationState:
        task = self._task
        rng = rng_for(task.config.seed, Purpose.INIT)
        dtype = task.config.engine.dtype
        params = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), task.model.init(rng))
        return FederationState(0, params, task.strategy.init(params), ())

    def _evaluate(self, params: Params) -> Evaluation:
        if self._test is None:
            raise TrainingError("the server has no samples to evaluate on; sites report accuracy")
        dtype = self._task.config.engine.dtype
        score = self._score(params, jnp.asarray(self._test.x_test, dtype), self._test.y_test)
        return Evaluation(float(score.loss.mean()), float(score.correct.mean()), np.zeros(0))

    def _run_round(
        self, state: FederationState, with_evaluation: bool = True
    ) -> tuple[FederationState, RoundRecord]:
        start, round_num = perf_counter(), state.round_num + 1
        config = self._task.config
        samples = self._members.gather()
        drawn = sample_cohort(config.seed, round_num, self._sites, config.cohort_size).tolist()
        absent = self._members.absent()
        cohort = tuple(i for i in drawn if i in samples and i not in absent)
        # A site may come back between the two answers; it is named all the same.
        dropped = {i: absent.get(i, f"site {i} came back") for i in drawn if i not in cohort}
        if len(cohort) < 2:
            raise ProtocolError(
                f"round {round_num}: {len(cohort)} of {len(drawn)} sites are there; a sum hides "
                "nothing with fewer than 2, start the others and resume"
            )
        cohort, short = self._fill(round_num, cohort, samples)
        context = round_context(config.seed, round_num, cohort, samples)
        record = RoundRecord(
            round_num=round_num,
            cohort=tuple(drawn),
            dropped=dropped | short,
            train_loss=math.nan,
            evaluation=None,
            seconds=0.0,
            download_bytes=tree_bytes(state.params) * len(cohort),
            traffic=Traffic(0, 0),
            metrics={},
        )
        try:
            total, traffic = self._sum(state.params, context, samples)
        except ProtocolError as error:
            record = record._replace(dropped=record.dropped | _lost(cohort, error))
            return self._end(state._replace(round_num=round_num), record, False, start)
        server, params, metrics = self._apply(state.server, state.params, total[0])
        local = read_metrics(self._task, total[1])
        accuracy = _over_members(local["accuracy"], context, traffic)
        record = record._replace(
            dropped=record.dropped | dict(traffic.missing),
            train_loss=_over_members(local["loss"], context, traffic),
            traffic=traffic,
            metrics=as_numbers(metrics) | {"site_accuracy": accuracy},
        )
        after = FederationState(round_num, params, server, ())
        return self._end(after, record, with_evaluation, start)

    def _end(
        self, state: FederationState, record: RoundRecord, evaluate: bool, start: float
    ) -> tuple[FederationState, RoundRecord]:
        if evaluate and self._test is not None:
            record = record._replace(evaluation=self._evaluate(state.params))
        jax.block_until_ready(state.params)
        return state, record._replace(seconds=perf_counter() - start)

    def _fill(
        self, round_num: int, cohort: tuple[int, ...], samples: Mapping[int, int]
    ) -> tuple[tuple[int, ...], dict[int, str]]:
        """Have the round's key in store; who cannot is left out, unless too few would be left.

        Raises:
            ProtocolError: Too few have key, until the deadline.
        """
        deadline = self._task.config.keys.deadline_s
        end = time.monotonic() + deadline
        while True:
            ready, short = self._ask_for_key(round_num, cohort, samples)
            if len(ready) >= self._least:
                return ready, short
            first = next(iter(short.values()), "nobody is there")
            if time.monotonic() + RETRY_S > end:
                raise ProtocolError(
                    f"round {round_num}: {len(ready)} of {len(cohort)} sites have key, "
                    f"{self._least} must; the first that has none: {first}; resume when it has"
                )
            self._say(f"round {round_num} waits for key, {deadline:g} s at most: {first}")
            time.sleep(RETRY_S)

    def _ask_for_key(
        self, round_num: int, cohort: tuple[int, ...], samples: Mapping[int, int]
    ) -> tuple[tuple[int, ...], dict[int, str]]:
        """Let everybody fill its streams; return who has key, and why others have not."""
        context = round_context(self._task.config.seed, round_num, cohort, samples)
        request: Payload = {"round_num": round_num, **_about(context, samples)}
        lengths = demand_of(self._masking.how, self._sites)(context, self._masking.num_values)
        deadline = self._task.config.keys.deadline_s
        outcomes = self._members.execute(Phase("fill", cohort, request, deadline))
        short = {i: o.reason for i, o in outcomes.items() if isinstance(o, Failure)}
        for stream, length in lengths.items():
            if stream[0] != SERVER or stream[1] in short:
                continue
            try:
                fill_patiently(partial(self._keys.fill, {stream: length}), deadline, self._say)
            except AgreementError as error:
                short[stream[1]] = f"no key between it and the server: {error}"
            except KmeUnreachableError as error:  # it would be for the other sites, too
                short = dict.fromkeys(cohort, f"the server gets no key: {error}") | short
        return tuple(i for i in cohort if i not in short), short

    def _sum(
        self, params: Params, context: RoundContext, samples: Mapping[int, int]
    ) -> tuple[tuple[Contribution, Contribution], Traffic]:
        about = _about(context, samples)
        first: Payload = {"model": pack_params(params), "samples": about["samples"]}
        source, session, masking = self._source, self._session, self._masking
        server = server_sum(masking, context, source, session, first, self._deadline, self._opened)
        total, traffic = drive(server, self._members.execute)
        return total, traffic


def _lost(cohort: tuple[int, ...], error: ProtocolError) -> dict[int, str]:
    """Why nobody's update is in a sum: some failed, and the others went down with them."""
    reasons = error.reasons if isinstance(error, RoundLostError) else {}
    return {i: reasons.get(i) or f"the round is lost: {error}" for i in cohort}


def _about(context: RoundContext, samples: Mapping[int, int]) -> dict[str, list[int]]:
    ids = list(context.client_ids)
    return {"cohort": ids, "samples": [samples[i] for i in ids]}


def _over_members(value: float, context: RoundContext, traffic: Traffic) -> float:
    """A sum over the sites in it, as their weighted mean."""
    weights = zip(context.client_ids, context.weights, strict=True)
    return value / sum(weight for i, weight in weights if i not in traffic.missing)
