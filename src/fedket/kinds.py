"""Kinds: everything that an experiment names, ours and those of its users, found by name.

A kind of thing is a group (`strategy`, `model`, …). A name in a group is

- one of the table `BUILT_IN`: a module and a class in it, imported when it is asked for;
- `optax:NAME` for an optimiser or a loss of optax's (`MADE`);
- `FILE.py:CLASS`: a class in a file beside the experiment's own;
- the name of an installed package's entry point in the group `fedket.GROUP`.

The class is a `Section`: the frozen table of its keys, and `build`, which makes the thing. Circuits
and losses are named in a section of another group and have no keys, so they are plain functions.
"""

from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from fedket.errors import ConfigError, meant
from fedket.user_code import load_from_file

BUILT_IN: dict[str, dict[str, str]] = {
    "data": {
        "digits": "fedket.data.source_kinds:DigitsConfig",
        "mnist": "fedket.data.source_kinds:MnistConfig",
        "fashion_mnist": "fedket.data.source_kinds:FashionMnistConfig",
        "cats_vs_dogs": "fedket.data.source_kinds:CatsVsDogsConfig",
        "cats_vs_dogs_64": "fedket.data.source_kinds:CatsVsDogs64Config",
        "planes_cars": "fedket.data.source_kinds:PlanesCarsConfig",
        "alzheimer_mri": "fedket.data.source_kinds:AlzheimerConfig",
        "npz": "fedket.data.source_kinds:NpzConfig",
        "image_folder": "fedket.data.source_kinds:ImageFolderConfig",
        "diabetes": "fedket.data.regression:DiabetesConfig",
        "table": "fedket.data.source_kinds:TableConfig",
        "ntangled": "fedket.data.quantum_states.make:NtangledConfig",
        "magic": "fedket.data.quantum_states.make:MagicConfig",
    },
    "transform": {
        "signed": "fedket.data.transform_kinds:SignedConfig",
        "resize": "fedket.data.transform_kinds:ResizeConfig",
        "pad": "fedket.data.transform_kinds:PadConfig",
        "pca": "fedket.data.transform_kinds:PcaConfig",
        "standardise": "fedket.data.transform_kinds:StandardiseConfig",
        "standardise_target": "fedket.data.transform_kinds:StandardiseTargetConfig",
        "rescale": "fedket.data.transform_kinds:RescaleConfig",
        "features": "fedket.experiment.features:FeaturesConfig",
    },
    "model": {
        "vqc": "fedket.models.vqc:VqcConfig",
        "reuploading": "fedket.models.reuploading:ReuploadingConfig",
        "hybrid": "fedket.models.hybrid:HybridConfig",
        "mps": "fedket.models.mps:MpsConfig",
        "quantum_train": "fedket.models.quantum_train:QuantumTrainConfig",
        "cnn": "fedket.models.classical:CnnConfig",
        "lenet5": "fedket.models.classical:LeNetConfig",
        "mlp": "fedket.models.classical:MlpConfig",
        "qasm": "fedket.bridges.qasm.kind:QasmConfig",
        "qiskit": "fedket.bridges.qiskit.kind:QiskitConfig",
        "pennylane": "fedket.bridges.pennylane.kind:PennylaneConfig",
    },
    "noise": {
        "gates": "fedket.quantum.noise.kinds:GatesConfig",
        "calibration": "fedket.quantum.noise.kinds:CalibrationConfig",
    },
    "circuit": {
        "qfedfisher": "fedket.quantum.ansatz:qfedfisher",
        "qunetqfl": "fedket.quantum.ansatz:qunetqfl",
        "chen_yoo": "fedket.quantum.ansatz:chen_yoo",
        "quantum_train": "fedket.quantum.ansatz:quantum_train",
        "strongly_entangling": "fedket.quantum.ansatz:strongly_entangling",
        "two_local": "fedket.quantum.ansatz:two_local",
        "two_local_ring": "fedket.quantum.ansatz:two_local_ring",
        "qcnn": "fedket.quantum.ansatz:qcnn",
    },
    "partition": {
        "iid": "fedket.data.partition_kinds:IidConfig",
        "dirichlet": "fedket.data.partition_kinds:DirichletConfig",
        "label_shards": "fedket.data.partition_kinds:LabelShardsConfig",
        "quantity": "fedket.data.partition_kinds:QuantityConfig",
        "groups": "fedket.data.partition_kinds:GroupsConfig",
    },
    "loss": {
        "cross_entropy": "fedket.federated.losses:cross_entropy",
        "mse": "fedket.federated.losses:squared_error",
    },
    "schedule": {
        "constant": "fedket.federated.learning_rates:ConstantConfig",
        "cosine": "fedket.federated.learning_rates:CosineConfig",
        "exponential": "fedket.federated.learning_rates:ExponentialConfig",
        "step": "fedket.federated.learning_rates:StepConfig",
    },
    "optimizer": {
        "adam": "fedket.federated.optimizers:AdamConfig",
        "sgd": "fedket.federated.optimizers:SgdConfig",
        "natural_gradient": "fedket.federated.optimizers:NaturalGradientConfig",
        "momentum": "fedket.federated.optimizers:MomentumConfig",
    },
    "keys": {
        "os_random": "fedket.keys.source_kinds:OsRandomConfig",
        "simulated": "fedket.keys.source_kinds:SimulatedConfig",
        "etsi014": "fedket.keys.source_kinds:Etsi014Config",
    },
    "track": {
        "mlflow": "fedket.track.kinds:MlflowConfig",
        "tensorboard": "fedket.track.kinds:TensorboardConfig",
        "wandb": "fedket.track.kinds:WandbConfig",
    },
    "engine": {
        "vectorised": "fedket.federated.engine_kinds:VectorisedConfig",
        "sequential": "fedket.federated.engine_kinds:SequentialConfig",
        "sharded": "fedket.federated.engine_kinds:ShardedConfig",
        "flare": "fedket.deploy.engines.flare.engine:FlareConfig",
        "flower": "fedket.deploy.engines.flower.engine:FlowerConfig",
    },
    "condition": {
        "constant": "fedket.federated.condition_kinds:ConstantConfig",
        "listed": "fedket.federated.condition_kinds:ListedConfig",
        "csv": "fedket.federated.condition_kinds:CsvConfig",
        "uniform": "fedket.federated.condition_kinds:UniformConfig",
        "lognormal": "fedket.federated.condition_kinds:LognormalConfig",
        "exponential": "fedket.federated.condition_kinds:ExponentialConfig",
        "periodic": "fedket.federated.condition_kinds:PeriodicConfig",
    },
    "strategy": {
        "fed_avg": "fedket.federated.strategies:FedAvgConfig",
        "fed_prox": "fedket.federated.strategies:FedProxConfig",
        "fed_avg_m": "fedket.federated.strategies:FedAvgMConfig",
        "fed_adagrad": "fedket.federated.strategies:FedAdagradConfig",
        "fed_adam": "fedket.federated.strategies:FedAdamConfig",
        "fed_yogi": "fedket.federated.strategies:FedYogiConfig",
        "scaffold": "fedket.federated.scaffold:ScaffoldConfig",
        "fed_nova": "fedket.federated.fed_nova:FedNovaConfig",
        "ditto": "fedket.federated.ditto:DittoConfig",
        "fed_dyn": "fedket.federated.fed_dyn:FedDynConfig",
        "qfedfisher": "fedket.federated.qfedfisher:QFedFisherConfig",
    },
    "graph": {
        "ring": "fedket.topology.kinds:RingConfig",
        "torus": "fedket.topology.kinds:TorusConfig",
        "random_regular": "fedket.topology.kinds:RandomRegularConfig",
        "complete": "fedket.topology.kinds:CompleteConfig",
        "edges": "fedket.topology.kinds:EdgesConfig",
        "qkd_links": "fedket.topology.kinds:QkdLinksConfig",
    },
    "privacy": {
        "skellam": "fedket.secure.privacy.kinds:SkellamConfig",
        "discrete_gaussian": "fedket.secure.privacy.kinds:DiscreteGaussianConfig",
        "gaussian": "fedket.secure.privacy.kinds:GaussianConfig",
        "local_gaussian": "fedket.secure.privacy.kinds:LocalGaussianConfig",
        "dp_sgd": "fedket.secure.privacy.kinds:DpSgdConfig",
    },
    "attack": {
        "sign_flipping": "fedket.secure.robust.attack_kinds:SignFlippingConfig",
        "inner_product_manipulation": (
            "fedket.secure.robust.attack_kinds:InnerProductManipulationConfig"
        ),
        "a_little_is_enough": "fedket.secure.robust.attack_kinds:ALittleIsEnoughConfig",
        "mimic": "fedket.secure.robust.attack_kinds:MimicConfig",
        "gaussian": "fedket.secure.robust.attack_kinds:GaussianConfig",
        "label_flipping": "fedket.secure.robust.attack_kinds:LabelFlippingConfig",
        "backdoor": "fedket.secure.robust.attack_kinds:BackdoorConfig",
    },
    "aggregation": {
        "plain": "fedket.secure.plain:PlainConfig",
        "quantised": "fedket.secure.quantised:QuantisedConfig",
        "pairwise_masks": "fedket.secure.pairwise.protocol:PairwiseMasksConfig",
        "shared_masks": "fedket.secure.shared_masks.protocol:SharedMasksConfig",
        "median": "fedket.secure.robust.kinds:MedianConfig",
        "trimmed_mean": "fedket.secure.robust.kinds:TrimmedMeanConfig",
        "krum": "fedket.secure.robust.kinds:KrumConfig",
        "multi_krum": "fedket.secure.robust.kinds:MultiKrumConfig",
        "geometric_median": "fedket.secure.robust.kinds:GeometricMedianConfig",
        "centred_clipping": "fedket.secure.robust.kinds:CentredClippingConfig",
        "norm_bound": "fedket.secure.robust.kinds:NormBoundConfig",
        "grouped": "fedket.secure.robust.groups:GroupedConfig",
        "hierarchical": "fedket.secure.hierarchy.protocol:HierarchicalConfig",
    },
}
"""Group -> name -> module:attribute, the one place where a built-in kind is registered."""


MADE = {
    ("optimizer", "optax"): "fedket.federated.optax_kinds:optimizer_section",
    ("loss", "optax"): "fedket.federated.optax_kinds:loss_function",
}
"""Group and what stands before the colon -> what makes a kind of what follows it."""


def kinds_of(group: str) -> list[str]:
    """Names of a group: built in, then those of installed packages."""
    installed = sorted(point.name for point in entry_points(group=f"fedket.{group}"))
    return list(dict.fromkeys([*BUILT_IN[group], *installed]))


def made_of(group: str) -> list[str]:
    """How names of a group are spelled whose kinds are made when asked for: `optax:NAME`."""
    return [f"{prefix}:NAME" for of, prefix in MADE if of == group]


def find(group: str, name: str, folder: Path = Path()) -> Any:
    """What a name stands for in a group; see the module's docstring.

    Args:
        group: A key of `BUILT_IN`.
        name: The name, as a configuration has it.
        folder: Where the experiment's file lies.

    Raises:
        ConfigError: There is none.
        UserCodeError: The user's file fails.
    """
    if ".py:" in name:
        return load_from_file(group, name, folder)
    if name in BUILT_IN[group]:
        module, _, attribute = BUILT_IN[group][name].partition(":")
        return getattr(import_module(module), attribute)
    prefix, _, rest = name.partition(":")
    if made := MADE.get((group, prefix)):
        module, _, attribute = made.partition(":")
        return getattr(import_module(module), attribute)(rest)
    for point in entry_points(group=f"fedket.{group}", name=name):
        return point.load()
    names = [*kinds_of(group), *made_of(group)]
    raise ConfigError(
        f"unknown {group} `{name}`{meant(name, names)} (known: {', '.join(names)}, or FILE.py:NAME)"
    )
