"""A party's own samples, from a local file or folder."""

from pathlib import Path

from fedket import data
from fedket.data.npz import read_arrays
from fedket.data.raw import RawData, check_raw, count_classes, merge_classes, select
from fedket.data.scale import scale_features
from fedket.data.transform import transform_dataset
from fedket.deploy.files import SiteFile
from fedket.errors import ConfigError, DataError
from fedket.experiment.config import ExperimentConfig
from fedket.experiment.features import with_features
from fedket.types import Dataset

PART = {"x", "y"}
"""Arrays of a file that is not split: all of it is for training, or at the server for testing."""


def load_site_data(site: SiteFile, config: ExperimentConfig) -> Dataset:
    """Load the samples of a site, as the experiment wants them.

    A file with arrays `x` and `y` alone is for training; one with `x_train`, `y_train`, `x_test`
    and `y_test`, and a folder of images, also has samples that only measure.

    Raises:
        DataError: They are missing, damaged, or not what the experiment wants.
        ConfigError: The experiment would fit something to one site's samples alone.
    """
    path, wanted = site.data, config.data
    if not path.exists():
        raise DataError(f"no samples at {path}; correct `data` in the site.toml of {site.name}")
    if config.transform.pca and not site.prepared:
        raise ConfigError(
            "transform.pca would be fitted to each site's samples by themselves; fit it once, "
            "apply it at every site, and say `prepared = true` in site.toml"
        )
    if path.is_file() and set(read_arrays(path)) == PART:
        return _read_part(path, config, site.prepared)
    if path.is_file():
        loaded = data.load_dataset(
            "npz",
            path=str(path.resolve()),
            classes=() if site.prepared else wanted.classes,
            merge=() if site.prepared else wanted.merge,
            transform=_transform(config, site.prepared),
        )
    else:
        loaded = data.load_dataset(
            "image_folder",
            path=str(path.resolve()),
            image_side=wanted.image_side,
            class_names=wanted.class_names,
            transform=_transform(config, site.prepared),
        )
    return loaded if site.prepared else with_features(config, loaded)


def load_test_data(path: str, beside: Path, config: ExperimentConfig) -> Dataset | None:
    """Load the server's own samples for evaluation, arrays `x` and `y` as models take them.

    Returns:
        A data set whose test part they are, or None if `path` is empty.

    Raises:
        DataError: They are missing or damaged.
    """
    if not path:
        return None
    part = _read_part(beside / path, config, prepared=True)
    return part._replace(
        x_test=part.x_train, y_test=part.y_train, x_train=part.x_test, y_train=part.y_test
    )


def _read_part(path: Path, config: ExperimentConfig, prepared: bool) -> Dataset:
    """Read arrays `x` and `y` as a training part."""
    arrays = read_arrays(path)
    if set(arrays) != PART:
        raise DataError(f"{path} holds {', '.join(sorted(arrays))}; it should hold x and y")
    x, y = arrays["x"], arrays["y"]
    raw = check_raw(RawData(x, y, x, y), str(path))
    if not prepared:
        raw = merge_classes(raw, str(path), config.data.merge)
    classes = () if prepared else config.data.classes
    kept = select(raw, str(path), classes, 0, 0)
    features = scale_features(kept.x_train, raw.max_value, f"{path}: x")
    num_classes = len(classes) or count_classes(raw, str(path))
    whole = Dataset(path.stem, features, kept.y_train, features, kept.y_train, num_classes)
    whole = transform_dataset(whole, _transform(config, prepared))
    whole = whole if prepared else with_features(config, whole)
    return whole._replace(x_test=whole.x_test[:0], y_test=whole.y_test[:0])


def _transform(config: ExperimentConfig, prepared: bool) -> data.Transform:
    return data.Transform() if prepared else data.Transform(**config.transform.model_dump())
