"""The frames that a result was made of."""

from pathlib import Path

import h5py

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io import layouts
from napari_xpcs.io.hdf5 import open_hdf5, read_texts

_PLACES = (
    f"{layouts.MULTITAU}/config/raw",
    f"{layouts.TWOTIME}/config/raw",
    layouts.RAW_PATH,
)


def frames_of_result(path: Path) -> Path:
    """Return the frames file that a result names: where it says, else beside or above the result.

    Raises
    ------
    FileFormatError
        It is an average of several, names no frames, or they are nowhere.
    """
    told: tuple[str, ...] = ()
    if h5py.is_hdf5(path):
        with open_hdf5(path) as file:
            told = next((texts for place in _PLACES if (texts := read_texts(file, place))), ())
    if len(told) > 1:
        msg = f"{path.name} is the average of {len(told)} runs: open one of them for its frames."
        raise FileFormatError(msg)
    if not told or not told[0]:
        msg = f"{path.name} names no frames; open them with File > Open."
        raise FileFormatError(msg)
    named = Path(told[0])
    folders = (path.parent, path.parent.parent, path.parent / named.parent.name)
    for candidate in (named, *(folder / named.name for folder in folders)):
        if candidate.is_file():
            return candidate
    msg = (
        f"The frames {told[0]} that {path.name} names are not there, nor is {named.name} beside "
        "it; open them with File > Open."
    )
    raise FileFormatError(msg)
