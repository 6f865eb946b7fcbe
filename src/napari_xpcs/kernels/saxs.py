"""Intensity averaged over bins."""

from jaxtyping import Float, Int, Shaped

from napari_xpcs._typing import Array
from napari_xpcs.backends import BackendProtocol


def bin_mean(
    image: Shaped[Array, "row col"],
    labels: Int[Array, "row col"],
    count: int,
    *,
    xp: BackendProtocol,
) -> Float[Array, " bin"]:
    """Return the mean of ``image`` over each label 1..``count``, in the unit of ``image``.

    Entry k-1 belongs to label k; NaN for a label without pixels.  Pixels of label 0
    do not count, whatever they hold.
    """
    compiled = xp.jit(_bin_mean, static_argnames=("count", "xp"))
    return compiled(xp.asarray(image), xp.asarray(labels), count=count, xp=xp)


def _bin_mean(
    image: Shaped[Array, "row col"],
    labels: Int[Array, "row col"],
    *,
    count: int,
    xp: BackendProtocol,
) -> Float[Array, " bin"]:
    flat = xp.ravel(labels)
    pixels = xp.bincount(flat, length=count + 1)[1:]
    values = xp.astype(xp.ravel(image), xp.float64)
    total = xp.bincount(flat, weights=values, length=count + 1)[1:]
    return xp.where(pixels > 0, total / xp.maximum(pixels, 1), xp.nan)
