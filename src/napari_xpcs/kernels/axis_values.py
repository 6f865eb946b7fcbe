"""What bins and conditions are about: an axis by its short name, at every pixel."""

from collections.abc import Mapping

from jaxtyping import Float

from napari_xpcs._typing import Array
from napari_xpcs.backends import BackendProtocol

MAP_FIELDS: dict[str, str] = {
    "q": "q",
    "phi": "phi_deg",
    "tth": "two_theta_deg",
    "qx": "qx",
    "qy": "qy",
    "qz": "qz",
    "qr": "qr",
}
"""The field of :class:`~napari_xpcs.kernels.qmap.QMaps` that an axis is."""


def axis_values(
    name: str, maps: Mapping[str, Array], shape: tuple[int, int], *, xp: BackendProtocol
) -> Float[Array, "row col"]:
    """Return the column (x) or row (y) of every pixel, or the map that the axis is.

    ``maps`` holds fields of :class:`~napari_xpcs.kernels.qmap.QMaps` by name; x and y need none.
    """
    rows, cols = shape
    if name == "x":
        return xp.broadcast_to(xp.arange(cols, dtype=xp.float64)[None, :], shape)
    if name == "y":
        return xp.broadcast_to(xp.arange(rows, dtype=xp.float64)[:, None], shape)
    return xp.asarray(maps[MAP_FIELDS[name]])
