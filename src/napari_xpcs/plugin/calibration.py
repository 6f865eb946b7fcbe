"""A calibration that is opened after the images becomes their geometry."""

from collections.abc import Iterable
from pathlib import Path

from napari.layers import Layer

from napari_xpcs.errors import FileFormatError, GeometryError
from napari_xpcs.io.poni import poni_to_known, read_poni
from napari_xpcs.kernels.geometry import Sourced
from napari_xpcs.plugin import layers as xpcs_layers


def calibrate(path: Path, layers: Iterable[Layer]) -> str:
    """Give every image layer of ours the geometry of a ``.poni``; return what was done in words.

    Its values win over those of the files, which stay beside them as ``others``.

    Raises
    ------
    FileFormatError
        No open image fits the calibration.
    """
    poni = read_poni(path)
    images = xpcs_layers.layers_with_role(layers, "frames", "scattering")
    if not images:
        msg = (
            f"{path.name} is a calibration without frames: open the frames first, then drop it "
            "again; or give it their name (run.poni beside run.h5)."
        )
        raise FileFormatError(msg)
    done, refused = [], []
    for layer in images:
        shape = (int(layer.data.shape[-2]), int(layer.data.shape[-1]))
        try:
            told = poni_to_known(poni, shape)
        except GeometryError as fault:
            refused.append(str(fault))
            continue
        known = dict(xpcs_layers.layer_known(layer))
        for name, new in told.items():
            known[name] = _in_front(new, known.get(name))
        xpcs_layers.attach_known(layer, known)
        done.append(layer.name)
    if not done:
        raise FileFormatError(" ".join(refused))
    text = f"{path.name} is the geometry of {', '.join(done)} now."
    return " ".join([text, *poni.problems, *refused])


def _in_front(new: Sourced, before: Sourced | None) -> Sourced:
    others: tuple[tuple[float, str], ...] = ()
    if before is not None and before.value is not None and before.origin != new.origin:
        earlier = ((before.value, before.origin), *before.others)
        others = tuple(one for one in earlier if one[0] != new.value)
    return Sourced(value=new.value, unit=new.unit, origin=new.origin, others=others)
