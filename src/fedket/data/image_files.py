"""Image files as one array: all of one size, with the channels and bits that the richest has.

Needs Pillow. Grey images stay one channel, 16 bits stay 16 bits, and what is transparent is laid on
white, so that colours that nobody sees are not learned from.
"""

import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped, UInt

from fedket.data.jpeg import check_pillow
from fedket.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
FILES = ", ".join(SUFFIXES)
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF")
"""What a file may hold, whatever its name says: among Pillow's others are ones that start
programs, such as PostScript."""

SHOWN = 5
"""Files that a message names."""

WHITE = 255


class Images(NamedTuple):
    """Decoded images.

    Attributes:
        pixels: Shape (images, height, width) or (images, height, width, 3), uint8 or uint16.
        names: Their names; corrupt ones are left out.
        notes: What was left out or changed, a sentence each.
    """

    pixels: np.ndarray
    names: list[str]
    notes: tuple[str, ...]


def read_images(
    files: Sequence[Path] | Mapping[str, bytes], side: int = 0, skip_corrupt: bool = False
) -> Images:
    """Decode image files.

    Args:
        files: The files, or name for messages -> what is in it.
        side: Height and width that every image is resized to (bicubic), pixels; 0 keeps them as
            they are, and all must then have one size.
        skip_corrupt: Leave files out that do not decode, instead of refusing all.

    Raises:
        DataError: Files do not decode, or images have different sizes.
    """
    named: dict[str, Path | bytes] = (
        dict(files) if isinstance(files, Mapping) else {str(path): path for path in files}
    )
    check_pillow(next(iter(named), ""))
    decoded: dict[str, np.ndarray] = {}
    corrupt: dict[str, str] = {}
    seen: set[str] = set()
    for name, file in named.items():
        try:
            decoded[name], said = _decode(file, side)
            seen |= said
        except Exception as error:  # Pillow raises many types on damaged bytes
            corrupt[name] = " ".join(str(error).split()) or type(error).__name__
    if corrupt and (not skip_corrupt or not decoded):
        raise DataError(
            f"{_named(corrupt)}; replace or remove {'it' if len(corrupt) == 1 else 'them'}, or say "
            "`data.skip_corrupt = true`"
        )
    _check_sizes(decoded)
    notes = [f"left out by `data.skip_corrupt`: {_named(corrupt)}"] if corrupt else []
    return Images(_stack(decoded.values()), list(decoded), (*notes, *sorted(seen)))


def _named(corrupt: dict[str, str]) -> str:
    """Every file that is no image, and why; the first ones of many."""
    shown = [f"{name} is no readable image ({why})" for name, why in corrupt.items()][:SHOWN]
    more = f", and {len(corrupt) - SHOWN} more files" if len(corrupt) > SHOWN else ""
    return ", ".join(shown) + more


def _check_sizes(decoded: dict[str, np.ndarray]) -> None:
    (first, image), *others = decoded.items()
    for name, other in others:
        if other.shape[:2] != image.shape[:2]:
            raise DataError(
                f"{name} has shape {other.shape}, {first} has {image.shape}; set "
                "`data.image_side` to resize all"
            )


def _stack(images: Iterable[Shaped[np.ndarray, "..."]]) -> UInt[np.ndarray, "images ..."]:
    """One array, of the channels and bits of the richest image."""
    images = list(images)
    colour = any(image.ndim == 3 for image in images)
    dtype = np.uint16 if any(image.dtype == np.uint16 for image in images) else np.uint8
    shape = (*images[0].shape[:2], 3) if colour else images[0].shape
    stacked = np.empty((len(images), *shape), dtype)
    for place, image in enumerate(images):
        levels = image if image.dtype == dtype else image.astype(np.uint16) * 257  # 255 -> 65535
        stacked[place] = levels[..., None] if colour and image.ndim == 2 else levels
    return stacked


def _decode(file: Path | bytes, side: int) -> tuple[UInt[np.ndarray, "height width ..."], set[str]]:
    """One image upright, and what a reader must know of it."""
    from PIL import Image, ImageOps

    source = io.BytesIO(file) if isinstance(file, bytes) else file
    with Image.open(source, formats=FORMATS) as opened:
        if (frames := getattr(opened, "n_frames", 1)) > 1:
            raise ValueError(f"it has {frames} frames")
        deep, notes = opened.mode.startswith("I"), _loss_of(opened)
        image: Any = ImageOps.exif_transpose(opened)
        if deep:
            return _grey_levels(image, side), notes
        if image.mode == "F":
            raise ValueError("its pixels are floating-point numbers; store them in an .npz")
        if image.has_transparency_data:
            image, changed = _on_white(image)
            notes |= {"transparent pixels of images were laid on white"} if changed else set()
        image = image.convert("L" if image.mode in ("1", "L", "LA", "La") else "RGB")
        if side:
            image = image.resize((side, side), Image.Resampling.BICUBIC)
        return np.asarray(image), notes


def _loss_of(opened: Any) -> set[str]:
    """What Pillow drops: it reads 16-bit colours as 8 bits."""
    raw = [tile[3] if isinstance(tile[3], str) else tile[3][0] for tile in opened.tile if tile[3]]
    if opened.mode[0] in "RL" and any(";16" in str(mode) for mode in raw):
        return {"images of 16 bits per channel and colour were read with 8 bits"}
    return set()


def _grey_levels(image: Any, side: int) -> UInt[np.ndarray, "height width"]:
    """All levels of an image of one channel and more than 8 bits."""
    from PIL import Image

    levels = np.asarray(image).astype(np.int64)
    if levels.min() < 0 or levels.max() > np.iinfo(np.uint16).max:
        raise ValueError("it has levels beyond 16 bits; store it in an .npz")
    if side:
        exact = Image.fromarray(levels.astype(np.float32))
        levels = np.rint(np.asarray(exact.resize((side, side), Image.Resampling.BICUBIC)))
    return np.clip(levels, 0, np.iinfo(np.uint16).max).astype(np.uint16)


def _on_white(image: Any) -> tuple[Any, bool]:
    """An image with what shows through it white, and whether anything does."""
    from PIL import Image

    grey = image.mode in ("LA", "La", "L", "1")
    whole = image.convert("RGBA")
    seen = Image.new("RGBA", whole.size, (WHITE, WHITE, WHITE, WHITE))
    seen.alpha_composite(whole)
    changed = whole.getchannel("A").getextrema()[0] < WHITE
    return seen.convert("L" if grey else "RGB"), changed
