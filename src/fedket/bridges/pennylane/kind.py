"""A model from a QNode: `[model] kind = "pennylane"`."""

from collections.abc import Callable, Mapping
from math import prod
from typing import Annotated, Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray
from pydantic import Field

from fedket.bridges.device import Device, Patience
from fedket.bridges.extras import needs_extra
from fedket.bridges.keys import DeviceKeys, Engine
from fedket.bridges.measured import ForeignValues, MeasuredValues, measured_values
from fedket.bridges.model import largest_section, native_words
from fedket.bridges.native import native_run
from fedket.errors import CircuitError, ConfigError
from fedket.models.circuit_keys import check_simulation
from fedket.quantum.encoding import flat_features
from fedket.quantum.noise import NoiseModel
from fedket.quantum.shots import Shots
from fedket.schema import PositiveFloat, PositiveInt
from fedket.section import Context, FunctionOf, NamedFunction
from fedket.types import Model, Params
from fedket.user_code import naming_users_lines

AGREES = 1e-6
"""Largest difference of a value between translation and original; some devices are float32."""

EXACT_DEVICES = ("default.", "lightning.", "reference.")
"""Beginnings of names of simulators, which fedket's engine may stand in for."""


def pennylane_model(
    qnode: Any,
    weights: Mapping[str, tuple[int, ...]],
    num_features: int,
    num_classes: int,
    *,
    inputs: str = "",
    engine: Engine = "auto",
    logit_scale: float = 1.0,
    init_std: float = 0.1,
    patience: Patience = Patience(),  # noqa: B008 - a tuple of numbers
    noise: NoiseModel | None = None,
    shots: Shots | None = None,
) -> Model:
    """A classifier of a PennyLane QNode, which takes one sample and returns one value per class.

    Parameters are a dict of arrays. A single value v makes the logits (v, −v) of two classes.

    Args:
        qnode: The QNode; it returns expectation values, probabilities, or a list of both.
        weights: Its trained arguments with their shapes.
        num_features: Features of a sample.
        num_classes: Number of logits.
        inputs: Its argument that takes a sample, a vector; empty for the first.
        engine: `native` translates it for fedket's engine, `device` runs it where it says; `auto`
            translates what simulators would run, if it can be translated.
        logit_scale: Logits are this times the values.
        init_std: Weights start at N(0, init_std²).
        patience: How long a device is waited for.
        noise: What follows the gates on fedket's engine, as of `vqc`.
        shots: How often circuits are measured there, as of `vqc`.

    Raises:
        ConfigError: It takes other arguments, cannot be translated though it should, or its
            translation disagrees with it.
    """
    with needs_extra("quantum"):
        from fedket.bridges.pennylane import translate as pl
    arguments = pl.arguments_of(qnode, inputs, weights, num_features)
    name = f"QNode `{qnode.func.__name__}`"
    exact = pl.is_exact(qnode, arguments)
    why_not = "" if engine != "auto" else _why_on_device(qnode, exact)
    native = None
    if engine != "device" and not why_not:
        try:
            native = pl.translate(qnode, arguments)
        except CircuitError as error:
            why_not = str(error)
            if engine == "native":
                raise ConfigError(f"{name} cannot be translated: {why_not}") from None
    shapes = arguments.shapes
    if native is None:
        num_outputs = pl.outputs_of(qnode, arguments)
        device = Device(pl.foreign_function(qnode, arguments, num_outputs), patience)
        words = _device_words(name, qnode, len(qnode.device.wires or ()), exact, why_not)
        called = MeasuredValues(lambda flat, x, _: device(flat, x))
        model = _model(called, shapes, num_classes, logit_scale, init_std, words)
        return model._replace(device=device)
    program, read, sums = native
    run = native_run(program)

    def exact_values(flat: Array, x: Array) -> Array:
        return read(run(flat, x))

    off = pl.largest_disagreement(qnode, arguments, exact_values, exact)
    if off > AGREES:
        raise ConfigError(
            f"{name} and its translation differ by {off:.2g} on random weights; use model.engine = "
            '"device", and tell us of the circuit'
        )
    words = f"{native_words(program, name)}; agrees with it to {off:.0e} on random weights"
    measured = MeasuredValues(lambda flat, x, _: exact_values(flat, x))
    if noise is not None or shots is not None:
        if sums is None:
            raise ConfigError(
                f"{name} returns probabilities; under [noise] or [shots] it should return "
                "expectation values of products of Z"
            )
        measured = measured_values(program, "inputs", sums.strings, 0, noise, shots)
        measured = measured._replace(
            values=_then(sums.of, measured.values),
            evaluate=measured.evaluate and _then(sums.of, measured.evaluate),
        )
    model = _model(measured, shapes, num_classes, logit_scale, init_std, words)
    model = model._replace(circuit=largest_section(program), noise=noise)

    def with_weights(params: Params) -> tuple[Any, Array]:
        return program, jnp.concatenate([params[name].ravel() for name in shapes])

    return model._replace(program=with_weights)


def _then(mix: Callable[[Array], Array], values: ForeignValues) -> ForeignValues:
    return lambda flat, x, rng: mix(values(flat, x, rng))


def _model(
    read: MeasuredValues,
    shapes: dict[str, tuple[int, ...]],
    num_classes: int,
    logit_scale: float,
    init_std: float,
    runs_on: str,
) -> Model:
    """A model of what gives values of a batch for flat weights."""

    def init(rng: PRNGKeyArray) -> Params:
        size = sum(map(prod, shapes.values()))
        flat = init_std * jax.random.normal(rng, (size,))
        bounds = np.cumsum([0, *map(prod, shapes.values())])
        return {
            name: flat[start : start + prod(shape)].reshape(shape)
            for start, (name, shape) in zip(bounds.tolist(), shapes.items(), strict=False)
        }

    def logits_by(values: ForeignValues) -> Callable[..., Float[Array, "batch classes"]]:
        def logits(
            params: Params, x: Float[Array, "batch *features"], rng: PRNGKeyArray | None = None
        ) -> Float[Array, "batch classes"]:
            flat = jnp.concatenate([params[name].ravel() for name in shapes])
            found = values(flat, flat_features(x), rng)
            if found.shape[1] == 1 and num_classes == 2:
                found = jnp.concatenate([found, -found], axis=1)
            return logit_scale * found

        return logits

    evaluate = None if read.evaluate is None else logits_by(read.evaluate)
    return Model(init, logits_by(read.values), runs_on=runs_on, shots=read.plan, evaluate=evaluate)


def _why_on_device(qnode: Any, exact: bool) -> str:
    if not exact:
        return "it samples shots"
    name = str(qnode.device.name)
    return "" if name.startswith(EXACT_DEVICES) else f"`{name}` is no simulator that fedket knows"


def _device_words(name: str, qnode: Any, num_wires: int, exact: bool, why: str) -> str:
    shots = "" if exact else ", estimates from shots, so that no run repeats another"
    because = f", because {why}" if why else ""
    return f"{name} on its own device `{qnode.device.name}`, {num_wires} wires{shots}{because}"


class PennylaneConfig(DeviceKeys):
    """A QNode of the user's own file."""

    kind: Literal["pennylane"] = "pennylane"
    circuit: Annotated[NamedFunction, FunctionOf("circuit")]
    """The QNode: `FILE.py:NAME`."""
    weights: dict[str, Annotated[tuple[PositiveInt, ...], Field(max_length=8)]]
    """Its trained arguments with their shapes: `{ weights = [2, 4, 3] }`."""
    inputs: str = ""
    """Its argument that takes a sample, a vector of features; empty for the first."""
    logit_scale: PositiveFloat = 1.0
    """Logits are this factor times what it returns."""
    init_std: PositiveFloat = 0.1
    """Weights start at N(0, init_std²)."""

    def build(self, context: Context) -> Model:
        """The model, for the features and classes of the data."""
        with naming_users_lines():
            model = pennylane_model(
                self.circuit.function,
                self.weights,
                context.num_features,
                context.num_classes,
                inputs=self.inputs,
                engine=self.engine,
                logit_scale=self.logit_scale,
                init_std=self.init_std,
                patience=self.patience,
                noise=context.noise,
                shots=context.shots,
            )
        if model.circuit is not None:
            check_simulation(model.circuit, context)
        return model
