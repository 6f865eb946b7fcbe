"""Some pixels of a detector as text, for JSON."""

import base64
import zlib

import numpy as np

from napari_xpcs._typing import Mask
from napari_xpcs.errors import MaskError


def pack_pixels(pixels: Mask) -> str:
    """Return the True pixels as text: bits in row order, deflated, in base 64."""
    if not pixels.any():
        return ""
    return base64.b64encode(zlib.compress(np.packbits(pixels).tobytes())).decode("ascii")


def unpack_pixels(text: str, shape: tuple[int, int]) -> Mask:
    """Return the image of True pixels that :func:`pack_pixels` packed.

    Raises
    ------
    MaskError
        The text is damaged, or was packed from another shape.
    """
    count = shape[0] * shape[1]
    if not text:
        return np.zeros(shape, dtype=bool)
    try:
        packed = np.frombuffer(_inflate(text, -(-count // 8)), dtype=np.uint8)
    except (ValueError, zlib.error) as fault:
        msg = f"The painted pixels are damaged: {fault}."
        raise MaskError(msg) from None
    if packed.size != -(-count // 8):
        msg = f"The painted pixels do not belong to {shape[0]} x {shape[1]} pixels."
        raise MaskError(msg)
    pixels: Mask = np.unpackbits(packed, count=count).astype(bool).reshape(shape)
    return pixels


def _inflate(text: str, expected: int) -> bytes:
    """Return at most one byte more than expected, however much the text would unfold to."""
    return zlib.decompressobj().decompress(base64.b64decode(text, validate=True), expected + 1)
