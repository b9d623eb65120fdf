"""Images of one's own: `folder/<class>/<name>.jpg`, or such folders below `train`, `test`, `val`.

Needs Pillow. Classes are the folders' names in alphabetical order, numbers in theirs, unless they
are asked for by name. Without a `test` folder every class gives an evenly spaced share of its
images, by name, to the test part: no random numbers, so the split is the same everywhere.
"""

from pathlib import Path

import numpy as np

from fedket.data.image_files import FILES, SUFFIXES, Images, read_images
from fedket.data.raw import Part, RawData
from fedket.errors import DataError

Files = list[list[Path]]
"""Image files of each class."""

PARTS = {
    "train": ("train", "training"),
    "test": ("test", "testing"),
    "val": ("val", "valid", "validation"),
}
"""Names of the folders of each part, in any case of letters."""

SHOWN = 5
"""Names that a note lists."""


def read_image_folder(
    folder: Path,
    side: int = 0,
    test_fraction: float = 0.2,
    class_names: tuple[str, ...] = (),
    skip_corrupt: bool = False,
) -> RawData:
    """Read a folder of images.

    Args:
        folder: Has one folder per class, or a folder of such for each part (`PARTS`); training is
            always one of them.
        side: Height and width that every image is resized to (bicubic, aspect ratio not kept),
            pixels; 0 keeps them as they are, and all must then have one size.
        test_fraction: Share of each class for testing where there is no `test` folder, in (0, 1);
            at least one image.
        class_names: Classes to keep, numbered 0, 1, ... in this order; empty keeps all.
        skip_corrupt: Leave images out that do not decode, and say so, instead of refusing all.

    Returns:
        Images, classes taking turns, so that any first part of them is balanced: uint8, uint16 if
        one has 16 bits; (height, width), or (height, width, 3) if one is in colour. What was left
        out is in the notes.

    Raises:
        DataError: A folder or class is missing or empty, images do not decode or have another
            size, or Pillow is absent.
    """
    if not folder.is_dir():
        raise DataError(f"no folder {folder}; `data.path` names a folder of <class>/<name>.jpg")
    folders = _parts(folder)
    names = class_names or _class_names(folders["train"])
    notes = [] if class_names else _other_classes(folders, names)
    files = {part: _list_files(place, names, notes) for part, place in folders.items()}
    if "test" not in files:
        files["train"], files["test"] = _split(files["train"], test_fraction)
    turns = {part: _in_turns(classes) for part, classes in files.items()}
    paths = [path for part in turns.values() for _, path in part]
    images = read_images(paths, side, skip_corrupt)
    parts = _in_parts(images, turns)
    for part, (_, y) in parts.items():
        if missing := [name for label, name in enumerate(names) if label not in y]:
            raise DataError(f"{folders.get(part, folder)}: no image of `{missing[0]}` is readable")
    x_val, y_val = parts.get("val", (None, None))
    return RawData(
        *parts["train"],
        *parts["test"],
        x_val=x_val,
        y_val=y_val,
        class_names=tuple(names),
        notes=(*notes, *images.notes),
    )


def in_order(names: list[str]) -> list[str]:
    """Names in alphabetical order, or, if all are whole numbers, in that of the numbers."""
    numbers = all(name.isdecimal() for name in names)
    return sorted(names, key=lambda name: (int(name), name) if numbers else (0, name))


def _parts(folder: Path) -> dict[str, Path]:
    """The folder of each part; of training alone if there is no such split."""
    found = {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_dir()}
    parts = {
        part: next(found[name] for name in names if name in found)
        for part, names in PARTS.items()
        if set(names) & set(found)
    }
    if "train" not in parts and parts and len(parts) == len(found):
        raise DataError(f"{folder} has {_listed(sorted(found))} and no `train`; add one")
    return parts if "train" in parts else {"train": folder}


def _folders(place: Path) -> list[str]:
    return in_order([p.name for p in place.iterdir() if p.is_dir() and p.name[0] != "."])


def _class_names(place: Path) -> tuple[str, ...]:
    found = _folders(place)
    if len(found) < 2:
        raise DataError(
            f"{place} has {len(found)} class folders; put the images of each class in a folder "
            "of their own, two or more"
        )
    return tuple(found)


def _other_classes(folders: dict[str, Path], names: tuple[str, ...]) -> list[str]:
    """What to say of folders that are left out: classes that training lacks, unknown parts."""
    known = {place.name for place in folders.values()}
    looked = [(place, names, "classes that training lacks") for place in folders.values()]
    if len(folders) > 1:
        looked.append((folders["train"].parent, tuple(known), "folders that are no part"))
    unknown = [(p, what, [n for n in _folders(p) if n not in kept]) for p, kept, what in looked]
    return [f"{p}: {what} are left out: {_listed(found)}" for p, what, found in unknown if found]


def _list_files(place: Path, names: tuple[str, ...], notes: list[str]) -> Files:
    """The images of each class by name; every class must have some. What else is there is noted."""
    classes = []
    others = sorted(p.name for p in place.iterdir() if p.suffix.lower() in SUFFIXES)
    for name in names:
        if not (place / name).is_dir():
            present = ", ".join(_folders(place)[:20]) or "no folders"
            raise DataError(f"{place} has no class `{name}`; it has {present}")
        found = sorted(p for p in (place / name).iterdir() if p.name[0] != ".")
        files = [p for p in found if p.suffix.lower() in SUFFIXES and not p.is_dir()]
        others += [f"{name}/{p.name}{'/' * p.is_dir()}" for p in found if p not in set(files)]
        if not files:
            raise DataError(f"{place / name} has no image ({FILES})")
        classes.append(files)
    if others:
        notes.append(
            f"{place}: left out, since images are files ({FILES}) directly below their class: "
            f"{_listed(others)}"
        )
    return classes


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"


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


def _in_turns(classes: Files) -> list[tuple[int, Path]]:
    """Labels and images, classes taking turns in proportion to their sizes."""
    turns = sorted(
        ((rank + 0.5) / len(files), label, path)
        for label, files in enumerate(classes)
        for rank, path in enumerate(files)
    )
    return [(label, path) for _, label, path in turns]


def _in_parts(images: Images, turns: dict[str, list[tuple[int, Path]]]) -> dict[str, Part]:
    """The images and labels of each part, which lie one after the other."""
    kept, parts, start = set(images.names), {}, 0
    for part, turn in turns.items():
        labels = np.array([label for label, path in turn if str(path) in kept], np.int32)
        parts[part] = images.pixels[start : start + len(labels)], labels
        start += len(labels)
    return parts
