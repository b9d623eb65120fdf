"""A party's own samples, from a local file or folder."""

from pathlib import Path

from fedket.data.columns import TABLES
from fedket.data.image_folder import read_image_folder
from fedket.data.npz import read_arrays, read_npz
from fedket.data.raw import RawData, check_raw
from fedket.data.source_kinds import ImageFolderConfig
from fedket.data.sources import assemble
from fedket.deploy.files import SiteFile
from fedket.errors import ConfigError, DataError
from fedket.experiment.build import transformed, transforms_of
from fedket.experiment.config import ExperimentConfig
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
    path, wanted = site.data, _wanted(config)
    if not path.exists():
        raise DataError(f"no samples at {path}; correct `data` in the site.toml of {site.name}")
    if path.is_file() and path.suffix.lower() in TABLES:
        raise DataError(
            f"{path} is a table, whose classes each site would number for itself; a site has an "
            ".npz file or a folder of images: save what fk.load_table reads with numpy.savez"
        )
    transforms = transforms_of(config)
    made = zip(config.transform, transforms, strict=True)
    fitted = [section.kind for section, transform in made if transform.fitted]
    if fitted and not site.prepared:
        raise ConfigError(
            f"transform `{fitted[0]}` would be fitted to each site's samples by themselves; fit it "
            "once, apply it at every site, and say `prepared = true` in site.toml"
        )
    if path.is_file() and set(read_arrays(path)) == PART:
        return _read_part(path, config, site.prepared)
    if path.is_file():
        raw = read_npz(path)
        loaded = _assembled(raw, path, config, site.prepared)
    else:
        raw = read_image_folder(
            path,
            side=wanted.image_side,
            class_names=wanted.class_names,
            skip_corrupt=wanted.skip_corrupt,
        )
        loaded = assemble(check_raw(raw, str(path)), path.stem, str(path))
    return loaded if site.prepared else transformed(loaded, transforms)


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
    whole = _assembled(RawData(x, y, x, y), path, config, prepared)
    whole = whole if prepared else transformed(whole, transforms_of(config))
    return whole._replace(x_test=whole.x_test[:0], y_test=whole.y_test[:0])


def _assembled(raw: RawData, path: Path, config: ExperimentConfig, prepared: bool) -> Dataset:
    """What the experiment keeps of a file's arrays; all of them if they are prepared.

    A site need not have samples of all classes.
    """
    wanted, checked = _wanted(config), check_raw(raw, str(path), prepared)
    kept = () if prepared else (wanted.classes, wanted.merge)
    return assemble(checked, path.stem, str(path), *kept)


def _wanted(config: ExperimentConfig) -> ImageFolderConfig:
    """What the experiment keeps of stored samples, as keys that suit files and folders."""
    kept = config.data.model_dump(include=set(ImageFolderConfig.model_fields) - {"kind", "path"})
    return ImageFolderConfig(**kept)
