"""Matrix-product-state extractor and circuit, trained together (Chen et al., arXiv:2011.14651).

Feature x becomes the vector (1 − x, x); a tensor network with a matrix for each entry of each
vector contracts their product to one number per qubit, which the circuit takes. Bond dimension and
starting values are our choice.
"""

from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from fedket.errors import CircuitError, ConfigError
from fedket.models.hybrid import Head, HeadedKeys, with_head
from fedket.models.vqc import Encoding, Readout, vqc
from fedket.quantum.circuit import Circuit
from fedket.quantum.encoding import ROTATIONS, flat_features
from fedket.quantum.noise import NoiseModel
from fedket.quantum.shots import Shots
from fedket.schema import PositiveInt
from fedket.section import Context
from fedket.types import Model, Params

SITE_STD = 0.01
"""Matrices start this close to the identity, so that products of hundreds of them stay near 1."""


def mps(
    num_features: int,
    circuit: Circuit,
    num_classes: int,
    *,
    bond: int = 4,
    encoding: Encoding = "arctan",
    readout: Readout = "z",
    logit_scale: float = 1.0,
    init_std: float = 0.01,
    noise: NoiseModel | None = None,
    shots: Shots | None = None,
) -> Model:
    """A matrix product state from features to one number per qubit, then a circuit.

    With M_i = (1 − x_i) A_i0 + x_i A_i1 the numbers are y_k = (M_1 ⋯ M_h C_k M_h+1 ⋯ M_N)_00, h =
    N // 2: linear in each feature. The head's parameters are `sites` (N, 2, bond, bond), the A, and
    `output` (qubits, bond, bond), the C. Sites start at 1 + N(0, 0.01²), outputs at N(0, 1).

    Args:
        num_features: Features per sample after flattening, N; in [0, 1] as images are.
        circuit: The trainable circuit.
        num_classes: Number of logits.
        bond: Size of the matrices, the bond dimension χ.
        encoding: As of `hybrid`.
        readout: As of `vqc`.
        logit_scale: As of `vqc`.
        init_std: Angles start at N(0, init_std²), radians.
        noise: As of `vqc`.
        shots: As of `hybrid`.

    Raises:
        ConfigError: The encoding does not take one number per qubit, or the read-out has fewer
            values than classes.
    """
    if encoding not in ROTATIONS:
        raise ConfigError(
            'the extractor gives one number per qubit; use encoding = "arctan" or "angle"'
        )
    quantum = vqc(
        circuit,
        num_classes,
        encoding=encoding,
        readout=readout,
        logit_scale=logit_scale,
        init_std=init_std,
        noise=noise,
        shots=shots,
        of_head=True,
    )
    init = partial(_init, num_features, circuit.num_qubits, bond)
    return with_head(Head(init, _extract), quantum, encoding)


def _init(num_features: int, num_outputs: int, bond: int, rng: PRNGKeyArray) -> Params:
    sites, output = jax.random.split(rng)
    noise = jax.random.normal(sites, (num_features, 2, bond, bond))
    return {
        "sites": jnp.eye(bond) + SITE_STD * noise,
        "output": jax.random.normal(output, (num_outputs, bond, bond)),
    }


def _extract(
    params: Params,
    x: Float[Array, "batch *features"],
    rng: PRNGKeyArray | None,  # noqa: ARG001 - every head takes one
) -> Float[Array, "batch qubits"]:
    """Contract from both ends to the middle, a vector per sample."""
    sites, features = params["sites"], flat_features(x).T
    if features.shape[0] != sites.shape[0]:
        raise CircuitError(f"expected {sites.shape[0]} features, got {features.shape[0]}")
    half = sites.shape[0] // 2
    left = _contract(sites[:half], features[:half])
    right = _contract(sites[half:][::-1].mT, features[half:][::-1])
    return jnp.einsum("bi,kij,bj->bk", left, params["output"], right)


def _contract(
    sites: Float[Array, "sites 2 bond bond"], features: Float[Array, "sites batch"]
) -> Float[Array, "batch bond"]:
    """First row of each sample's product of matrices."""

    def step(vector: Array, site: tuple[Array, Array]) -> tuple[Array, None]:
        matrices, x = site
        zero, one = vector @ matrices[0], vector @ matrices[1]
        return zero + x[:, None] * (one - zero), None

    dtype = jnp.result_type(sites, features)
    start = jnp.zeros((features.shape[1], sites.shape[-1]), dtype).at[:, 0].set(1)
    vector, _ = jax.lax.scan(step, start, (sites, features))
    return vector


class MpsConfig(HeadedKeys):
    """Chen et al.'s hybrid: a matrix product state extracts numbers, a small circuit classifies."""

    kind: Literal["mps"] = "mps"
    bond: PositiveInt = 4
    """Bond dimension: the size of the matrices."""

    def build(self, context: Context) -> Model:
        """The model, for the features and classes of the data."""
        return mps(
            context.num_features,
            self.make_circuit(),
            context.num_classes,
            bond=self.bond,
            encoding=self.encoding,
            readout=self.readout,
            logit_scale=self.logit_scale,
            init_std=self.init_std,
            noise=context.noise,
            shots=context.shots,
        )
