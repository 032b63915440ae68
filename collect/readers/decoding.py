"""Images of any kind as 8-bit arrays of one size."""

import io
import struct
import zlib
from pathlib import Path
from typing import Final

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from store.errors import DataError, one_line

_BROKEN: Final = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)
"""What Pillow raises of a file that is no image, or a damaged one."""
_LEVELS_16_BIT: Final = 65535
_AT_ONCE: Final = 1000


def decoded(content: bytes | None, side: int, *, named: str) -> NDArray[np.uint8]:
    """Decode an encoded image and scale it to side x side, shape (3, side, side).

    named: what it is called in an error. Raises DataError where it cannot be decoded.
    """
    image = _colour(io.BytesIO(content or b""), named)
    if image.size != (side, side):
        image = image.resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(image, dtype=np.uint8).transpose(2, 0, 1)


def centre(file: Path, side: int) -> NDArray[np.uint8]:
    """Decode a file; its centre, shape (3, side, side), at 8/7 of the size that fits.

    Raises DataError where it cannot be decoded.
    """
    image = _colour(file, f"{file}:")
    # lengths and places are rounded as torchvision's resize and center_crop do
    target, shorter = round(side * 8 / 7), min(image.size)
    width, height = (int(target * length / shorter) for length in image.size)
    left, top = round((width - side) / 2), round((height - side) / 2)
    scaled = image.resize((width, height), Image.Resampling.BILINEAR)
    cut = scaled.crop((left, top, left + side, top + side))
    return np.asarray(cut, dtype=np.uint8).transpose(2, 0, 1)


def resized(fractions: NDArray[np.float32], side: int) -> NDArray[np.uint8]:
    """Scale fractions of shape (images, channels, h, w) to side x side, as uint8."""
    # what torchvision's resize does, without the second that it takes to import
    scaled = functional.interpolate(
        torch.from_numpy(fractions), (side, side), mode="bilinear", antialias=True
    )
    return (scaled.clamp(0, 1) * 255).round().to(torch.uint8).numpy()


def of_side(images: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Scale images of shape (images, channels, h, w) to side x side; left alone where they are."""
    if images.shape[2:] == (side, side):
        return images
    out = np.empty((*images.shape[:2], side, side), dtype=np.uint8)
    # in parts: as fractions, all of them would take four times their memory and more
    for start in range(0, len(images), _AT_ONCE):
        part = images[start : start + _AT_ONCE].astype(np.float32)
        out[start : start + _AT_ONCE] = resized(part / np.float32(255), side)
    return out


def _colour(source: Path | io.BytesIO, named: str) -> Image.Image:
    """Read any image as 8-bit colour, upright. Raises DataError that names it."""
    try:
        with Image.open(source) as opened:
            return _eight_bit(_upright(opened))
    except UnidentifiedImageError:
        size = source.getbuffer().nbytes if isinstance(source, io.BytesIO) else _size(source)
        reason = "no image of a known format" if size else "it is empty, 0 bytes"
        raise DataError(f"{named} cannot be decoded: {reason}") from None
    except _BROKEN as error:
        raise DataError(f"{named} cannot be decoded: {one_line(str(error))}") from None


def _size(file: Path) -> int:
    return file.stat().st_size


def _upright(image: Image.Image) -> Image.Image:
    """Turn an image as its camera noted; one whose note is broken stays as it is."""
    try:
        return ImageOps.exif_transpose(image)
    except (SyntaxError, ValueError, KeyError, TypeError, struct.error):
        return image


def _eight_bit(image: Image.Image) -> Image.Image:
    """Turn any image into 8-bit colour; 16-bit grey is scaled, which Pillow would clip.

    Transparency is dropped, as torchvision does. Raises ValueError for values that no image of
    8 or 16 bit has.
    """
    if image.mode.startswith("I"):
        grey = np.asarray(image).astype(np.float64)
        if grey.min() < 0 or grey.max() > _LEVELS_16_BIT:
            raise ValueError(
                f"grey values of {grey.min():.0f} to {grey.max():.0f}; allowed: 8 or 16 bit"
            )
        image = Image.fromarray((grey / 257).round().astype(np.uint8))
    if image.mode == "F":
        raise ValueError("its pixels are floating-point numbers; allowed: 8 or 16 bit")
    if image.mode == "P" and isinstance(image.info.get("transparency"), bytes):
        # what Pillow asks for, or it warns
        image = image.convert("RGBA")
    return image.convert("RGB")
