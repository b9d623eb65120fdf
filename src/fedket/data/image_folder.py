"""Images of one's own: `folder/<class>/<name>.jpg`, or `folder/{train,test}/<class>/<name>.jpg`.

Needs Pillow. Classes are the folders' names in alphabetical order, unless they are asked for by
name. Without a `test` folder every class gives an evenly spaced share of its images, by name, to
the test part: no random numbers, so the split is the same everywhere.
"""

from pathlib import Path

import numpy as np
from jaxtyping import Int32, UInt8

from fedket.data.jpeg import check_pillow
from fedket.data.raw import RawData
from fedket.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
"""What a file may hold, whatever its name says: among Pillow's others are ones that start
programs, such as PostScript."""

Files = list[list[Path]]
"""Image files of each class."""


def read_image_folder(
    folder: Path, side: int = 0, test_fraction: float = 0.2, class_names: tuple[str, ...] = ()
) -> RawData:
    """Read a folder of images.

    Args:
        folder: Has one folder per class, or `train` and `test` with one folder per class each, or
            `train` alone.
        side: Height and width that every image is resized to (bicubic, aspect ratio not kept),
            pixels; 0 keeps them as they are, and all must then have one size.
        test_fraction: Share of each class for testing where there is no `test` folder, in (0, 1);
            at least one image.
        class_names: Classes to keep, numbered 0, 1, ... in this order; empty keeps all.

    Returns:
        RGB images, uint8, classes taking turns, so that any first part of them is balanced.

    Raises:
        DataError: A folder or class is missing or empty, an image does not decode or has another
            size, or Pillow is absent.
    """
    check_pillow(str(folder))
    if not folder.is_dir():
        raise DataError(f"no folder {folder}; `data.path` names a folder of <class>/<name>.jpg")
    train_folder = folder / "train" if (folder / "train").is_dir() else folder
    names = class_names or _class_names(train_folder)
    train = _list_files(train_folder, names)
    if (folder / "test").is_dir() and train_folder != folder:
        test = _list_files(folder / "test", names)
    else:
        train, test = _split(train, test_fraction)
    x_train, y_train = _read_part(train, side)
    x_test, y_test = _read_part(test, side)
    return RawData(x_train, y_train, x_test, y_test)


def _class_names(folder: Path) -> tuple[str, ...]:
    found = sorted(p.name for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    if len(found) < 2:
        raise DataError(
            f"{folder} has {len(found)} class folders; put the images of each class in a folder "
            "of their own, two or more"
        )
    return tuple(found)


def _list_files(folder: Path, names: tuple[str, ...]) -> Files:
    """The images of each class by name; every class must have some."""
    classes = []
    for name in names:
        if not (folder / name).is_dir():
            raise DataError(f"{folder} has no class `{name}`; it has {_present(folder)}")
        files = [p for p in (folder / name).iterdir() if p.suffix.lower() in SUFFIXES]
        files = sorted(p for p in files if not p.name.startswith("."))
        if not files:
            raise DataError(f"{folder / name} has no image ({', '.join(SUFFIXES)})")
        classes.append(files)
    return classes


def _present(folder: Path) -> str:
    found = sorted(p.name for p in folder.iterdir() if p.is_dir())
    return ", ".join(found[:20]) or "no folders"


def _split(classes: Files, fraction: float) -> tuple[Files, Files]:
    """Take every class's test images at even distances."""
    train, test = [], []
    for files in classes:
        count = min(max(round(fraction * len(files)), 1), len(files) - 1)
        if count < 1:
            raise DataError(
                f"{files[0].parent} has a single image; training and testing need one each"
            )
        chosen = {(2 * i + 1) * len(files) // (2 * count) for i in range(count)}
        test.append([path for i, path in enumerate(files) if i in chosen])
        train.append([path for i, path in enumerate(files) if i not in chosen])
    return train, test


def _read_part(
    classes: Files, side: int
) -> tuple[UInt8[np.ndarray, "images height width 3"], Int32[np.ndarray, " images"]]:
    """Decode a part, classes taking turns in proportion to their sizes."""
    turns = sorted(
        ((rank + 0.5) / len(files), label, path)
        for label, files in enumerate(classes)
        for rank, path in enumerate(files)
    )
    first = _decode(turns[0][2], side)
    images = np.empty((len(turns), *first.shape), np.uint8)
    for i, (_, _, path) in enumerate(turns):
        image = _decode(path, side)
        if image.shape != first.shape:
            raise DataError(
                f"{path} has shape {image.shape}, {turns[0][2].name} has {first.shape}; set "
                "`data.image_side` to resize all"
            )
        images[i] = image
    return images, np.array([label for _, label, _ in turns], np.int32)


def _decode(path: Path, side: int) -> UInt8[np.ndarray, "h w 3"]:
    """One image upright, as RGB."""
    from PIL import Image, ImageOps

    try:
        with Image.open(path, formats=FORMATS) as image:
            upright = ImageOps.exif_transpose(image).convert("RGB")
            if side:
                upright = upright.resize((side, side), Image.Resampling.BICUBIC)
            return np.asarray(upright)
    except Exception as error:  # Pillow raises many types on damaged bytes
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{path} is no readable image ({reason}); replace or remove it") from error
