"""Images stored as JPEG files joined into one byte array; needs Pillow."""

import io

import numpy as np
from jaxtyping import Shaped, UInt8

from fedket.errors import DataError


def decode_jpegs(
    data: Shaped[np.ndarray, "..."], offsets: Shaped[np.ndarray, "..."], source: str
) -> UInt8[np.ndarray, "images height width 3"]:
    """Decode joined JPEG files into RGB images.

    Args:
        data: All files, joined, shape (bytes,), uint8.
        offsets: Image i is `data[offsets[i]:offsets[i + 1]]`; shape (images + 1,), integers.
        source: Where the bytes come from, for messages.

    Returns:
        The images; all must have one size.

    Raises:
        DataError: Pillow is absent, offsets are wrong, or an image is damaged or of another size.
    """
    check_pillow(source)
    _check_offsets(data, offsets, source)
    content, bounds = data.tobytes(), offsets.tolist()
    first = _decode(content[bounds[0] : bounds[1]], f"{source}: image 0")
    images = np.empty((len(bounds) - 1, *first.shape), np.uint8)
    for i in range(len(images)):
        name = f"{source}: image {i}"
        image = _decode(content[bounds[i] : bounds[i + 1]], name)
        if image.shape != first.shape:
            raise DataError(f"{name} has shape {image.shape}, image 0 has {first.shape}; resize it")
        images[i] = image
    return images


def check_pillow(source: str) -> None:
    """Raise `DataError` unless Pillow is installed."""
    try:
        import PIL.Image  # noqa: F401
    except ImportError as error:
        raise DataError(
            f"{source} holds JPEG or other images; install Pillow: pip install 'fedket[vision]'"
        ) from error


def _check_offsets(
    data: Shaped[np.ndarray, "..."], offsets: Shaped[np.ndarray, "..."], source: str
) -> None:
    if data.ndim != 1 or data.dtype != np.uint8:
        raise DataError(f"{source} must be uint8 bytes, got {data.dtype} of shape {data.shape}")
    if offsets.ndim != 1 or len(offsets) < 2 or offsets.dtype.kind not in "iu":
        raise DataError(
            f"{source}: offsets must be integers of shape (images + 1,), got {offsets.dtype} "
            f"of shape {offsets.shape}"
        )
    bounds = offsets.astype(np.int64)
    if bounds[0] < 0 or bounds[-1] > len(data) or bool(np.any(np.diff(bounds) <= 0)):
        raise DataError(f"{source}: offsets must rise from 0 to at most {len(data)} bytes")


def _decode(content: bytes, name: str) -> UInt8[np.ndarray, "height width 3"]:
    from PIL import Image

    try:
        with Image.open(io.BytesIO(content), formats=["JPEG"]) as image:
            return np.asarray(image.convert("RGB"))
    except Exception as error:  # Pillow raises many types on damaged bytes
        raise DataError(f"{name} is no readable JPEG ({error}); replace the file") from error
