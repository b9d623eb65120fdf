"""The data sets that an experiment may name; their keys are the arguments of their loaders."""

import re
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from fedket.data.columns import read_saved, read_table
from fedket.data.held_out import DataConfig
from fedket.data.sources import data_directory, find_place, load_dataset, load_table
from fedket.data.table import Wanted, read_features
from fedket.schema import FREE, NonNegativeInt
from fedket.section import Context
from fedket.types import Dataset


class StoredConfig(DataConfig):
    """Keys of every data set that is stored, or can be fetched."""

    directory: Annotated[str, FREE] = ""
    """Data directory; empty means `FEDKET_DATA`, else the user's cache."""
    classes: tuple[NonNegativeInt, ...] = ()
    """Labels to keep, relabelled 0, 1, ... in this order; empty keeps all."""
    merge: tuple[tuple[NonNegativeInt, NonNegativeInt], ...] = ()
    """Pairs [a, b]: samples of class a count as class b; before `classes`."""
    max_train: NonNegativeInt = 0
    """Keep the first n training samples; 0 keeps all."""
    max_test: NonNegativeInt = 0
    """The same for the test samples."""

    def build(self, context: Context) -> Dataset:
        """The data set."""
        return load_dataset(self.kind, **self.model_dump(exclude={"kind", "validation_fraction"}))


class DigitsConfig(StoredConfig):
    """scikit-learn's 1,797 handwritten digits of 8x8 pixels; part of its package."""

    kind: Literal["digits"] = "digits"


class MnistConfig(StoredConfig):
    """MNIST's 70,000 handwritten digits of 28x28 pixels."""

    kind: Literal["mnist"] = "mnist"


class FashionMnistConfig(StoredConfig):
    """Fashion-MNIST's 70,000 pieces of clothing of 28x28 pixels."""

    kind: Literal["fashion_mnist"] = "fashion_mnist"


class CatsVsDogsConfig(StoredConfig):
    """Cats against dogs in colour, 96 pixels a side, from the data directory."""

    kind: Literal["cats_vs_dogs"] = "cats_vs_dogs"


class CatsVsDogs64Config(StoredConfig):
    """Cats against dogs in colour, 64 pixels a side, from the data directory."""

    kind: Literal["cats_vs_dogs_64"] = "cats_vs_dogs_64"


class PlanesCarsConfig(StoredConfig):
    """CIFAR-10's planes against cars, from the data directory."""

    kind: Literal["planes_cars"] = "planes_cars"


class AlzheimerConfig(StoredConfig):
    """Magnetic resonance images of four degrees of dementia, from the data directory."""

    kind: Literal["alzheimer_mri"] = "alzheimer_mri"


def _is_digest(text: str) -> str:
    if not re.fullmatch("([0-9A-Fa-f]{64})?", text):
        raise PydanticCustomError("digest", "Input should be 64 hexadecimal digits")
    return text


class NpzConfig(StoredConfig):
    """A file of arrays `x_train`, `y_train`, `x_test`, `y_test`, or with MedMNIST's names."""

    kind: Literal["npz"] = "npz"
    path: str = ""
    """A path, or a name below the data directory."""
    sha256: Annotated[str, AfterValidator(_is_digest)] = ""
    """Expected checksum of the file; empty means not checked."""
    regression: bool | None = None
    """`true`: labels are numbers to predict, no classes; absent for classes."""


class TableConfig(StoredConfig):
    """A table with a row per sample: CSV, Parquet, or a folder of Hugging Face's `datasets`."""

    kind: Literal["table"] = "table"
    path: str
    """A path, or a name below the data directory: a .csv or .parquet file, or what
    `Dataset.save_to_disk` wrote."""
    target: str
    """Column of the classes, whole numbers or words."""
    features: tuple[str, ...] = ()
    """Columns of the features; empty takes all others."""
    group: str = ""
    """Column of the owners of samples, for partition `groups`; empty for none."""
    one_hot: bool = False
    """Make a 0 or 1 for each word of columns that hold words, instead of refusing them."""
    drop_missing: bool = False
    """Leave rows out that miss a value, instead of refusing them."""
    test_path: str = ""
    """Another table, for testing; empty takes a share of this one's rows."""
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """That share: of the rows of each class, or of the owners if there are."""
    regression: bool | None = None
    """`true`: the target holds numbers to predict, no classes; absent for classes."""

    def build(self, context: Context) -> Dataset:
        """The data set."""
        return load_table(**self.model_dump(exclude={"kind", "validation_fraction"}))

    def read_rows(self, file: Path) -> np.ndarray:
        """Features of a table's new rows, in the columns that training had; others may be there."""
        place = find_place(self.path, data_directory(self.directory))
        trained = read_saved(place)["train"] if place.is_dir() else read_table(place)
        kept = self.target, self.features, self.group, self.one_hot, self.drop_missing
        return read_features(file, Wanted(*kept), trained, str(place))


class ImageFolderConfig(StoredConfig):
    """A folder of images, `<class>/<name>.jpg`, perhaps below `train`, `test` and `val`."""

    kind: Literal["image_folder"] = "image_folder"
    path: str = ""
    """A path, or a name below the data directory."""
    image_side: Annotated[int, Field(ge=0, le=1024)] = 0
    """Resize images to n pixels a side; 0 keeps them, all of one size."""
    test_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.2
    """Without a `test` folder: share of each class that is for testing."""
    class_names: tuple[str, ...] = ()
    """Classes to keep, numbered in this order; empty keeps all, by name."""
    skip_corrupt: bool = False
    """Leave images out that cannot be read, instead of refusing all."""
