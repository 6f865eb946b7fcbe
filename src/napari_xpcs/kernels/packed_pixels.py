"""Some pixels of a detector as text, for JSON."""

import base64
import zlib

import numpy as np
from jaxtyping import UInt8

from napari_xpcs._typing import Mask
from napari_xpcs.errors import MaskError

Bits = UInt8[np.ndarray, " byte"]
"""An image of True pixels in row order, eight to a byte, as :func:`numpy.packbits` makes it."""


def pack_pixels(pixels: Mask) -> str:
    """Return the True pixels as text: bits in row order, deflated, in base 64."""
    return pack_bits(np.packbits(pixels))


def pack_bits(bits: Bits) -> str:
    """Return the True pixels as :func:`pack_pixels` does."""
    if not bits.any():
        return ""
    # Level 1: a stroke of the brush is packed while the user waits; level 6 takes eight times
    # as long to save a quarter.
    return base64.b64encode(zlib.compress(bits.tobytes(), level=1)).decode("ascii")


def unpack_pixels(text: str, shape: tuple[int, int]) -> Mask:
    """Return the image of True pixels that :func:`pack_pixels` packed.

    Raises
    ------
    MaskError
        The text is damaged, or was packed from another shape.
    """
    bits = unpack_bits(text, shape)
    pixels: Mask = np.unpackbits(bits, count=shape[0] * shape[1]).view(bool).reshape(shape)
    return pixels


def unpack_bits(text: str, shape: tuple[int, int]) -> Bits:
    """Return the True pixels as bits, eight times less to work on than :func:`unpack_pixels`.

    Raises
    ------
    MaskError
        As :func:`unpack_pixels`.
    """
    expected = -(-shape[0] * shape[1] // 8)
    if not text:
        return np.zeros(expected, dtype=np.uint8)
    try:
        bits = np.frombuffer(_inflate(text, expected), dtype=np.uint8)
    except (ValueError, zlib.error) as fault:
        msg = f"The painted pixels are damaged: {fault}."
        raise MaskError(msg) from None
    if bits.size != expected:
        msg = f"The painted pixels do not belong to {shape[0]} x {shape[1]} pixels."
        raise MaskError(msg)
    return bits


def _inflate(text: str, expected: int) -> bytes:
    """Return at most one byte more than expected, however much the text would unfold to."""
    return zlib.decompressobj().decompress(base64.b64decode(text, validate=True), expected + 1)
