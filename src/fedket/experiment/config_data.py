"""Tables about data: what is learned from, as which features, and who holds it."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from fedket.schema import FREE, PositiveFloat, Table


def _is_digest(text: str) -> str:
    if not re.fullmatch("([0-9A-Fa-f]{64})?", text):
        raise PydanticCustomError("digest", "Input should be 64 hexadecimal digits")
    return text


class DataConfig(Table):
    """What is learned from."""

    name: Literal[
        "digits",
        "mnist",
        "fashion_mnist",
        "cats_vs_dogs",
        "cats_vs_dogs_64",
        "planes_cars",
        "alzheimer_mri",
        "npz",
        "image_folder",
        "ntangled",
        "magic",
    ] = "digits"
    path: str = ""
    """File for `npz`, folder for `image_folder`: a path, or a name below the data directory."""
    directory: Annotated[str, FREE] = ""
    """Data directory; empty means `FEDKET_DATA`, else the user's cache."""
    sha256: Annotated[str, AfterValidator(_is_digest)] = ""
    """Expected checksum of the `npz` file; empty means not checked."""
    classes: tuple[Annotated[int, Field(ge=0)], ...] = ()
    """Labels to keep, relabelled 0, 1, ... in this order; empty keeps all."""
    merge: tuple[tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]], ...] = ()
    """Pairs [a, b]: samples of class a count as class b; before `classes`."""
    max_train: Annotated[int, Field(ge=0)] = 0
    """Keep the first so many training samples; 0 keeps all."""
    max_test: Annotated[int, Field(ge=0)] = 0
    image_side: Annotated[int, Field(ge=0, le=1024)] = 0
    """`image_folder`: resize images to so many pixels a side; 0 keeps them, all of one size."""
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """`image_folder` without a `test` folder: share of each class that is for testing."""
    class_names: tuple[str, ...] = ()
    """`image_folder`: classes to keep, numbered in this order; empty keeps all, by name."""


class StatesConfig(Table):
    """Quantum states for `data.name` `ntangled` (entanglement) or `magic`: two classes."""

    num_qubits: Annotated[int, Field(ge=2, le=8)] = 6
    targets: tuple[PositiveFloat, PositiveFloat] = (0.15, 0.45)
    """Of class 0 and class 1: concentratable entanglement of `ntangled`, M2 in bits of `magic`."""
    generator: Literal["trained", "public"] = "trained"
    """`trained` to the targets on the spot; `public`: NTangled's, from the data directory."""
    generator_layers: Annotated[int, Field(ge=1, le=20)] = 4
    inputs: Literal["haar", "hemisphere", "stabilizer", "basis"] = "hemisphere"
    """Qubits of the product inputs: uniform on the Bloch sphere, on its half around |0>, one of
    |0>, |+>, |+i>, or one of |0>, |1>. `haar` gives both classes the same mean state."""
    train_samples: Annotated[int, Field(ge=2, le=100_000, multiple_of=2)] = 100
    test_samples: Annotated[int, Field(ge=2, le=100_000, multiple_of=2)] = 400
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Of generators; inputs depend on it and on the experiment's seed."""


class TransformConfig(Table):
    """What is done to the features, in this order."""

    pixel_range: Literal["unit", "signed"] = "unit"
    """`signed`: (x - 0.5) / 0.5, so images lie in [-1, 1]."""
    resize: Annotated[int, Field(ge=0, le=1024)] = 0
    """Shrink images to so many pixels a side, by area; 0 keeps them."""
    pad: Annotated[int, Field(ge=0, le=1024)] = 0
    """Put zeros around images until they have so many pixels a side; 0 keeps them."""
    pca: Annotated[int, Field(ge=0, le=4096)] = 0
    """Replace features by so many principal components of the training samples; 0 keeps them."""


class FeaturesConfig(Table):
    """A frozen, pretrained network between images and model; its features are kept on disk."""

    backbone: Literal["none", "squeezenet1_1", "mobilenet_v2", "vgg16"] = "none"
    weights: str = ""
    """Weights file: a path, or a name below the data directory; empty means the usual one, which
    is downloaded for `vgg16`."""
    image_side: Annotated[int, Field(ge=0, le=1024)] = 0
    """Resize images to so many pixels a side; 0 takes them as they are."""
    cache: Annotated[str, FREE] = ""
    """Folder for features; empty means the user's cache."""
