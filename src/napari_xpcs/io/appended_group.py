"""What is stored in a result file later: beside the g2 that it was made from."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from napari_xpcs.errors import FileFormatError
from napari_xpcs.io import layouts
from napari_xpcs.io.atomic import atomic_path
from napari_xpcs.io.hdf5 import open_hdf5, reading
from napari_xpcs.io.new_hdf5 import new_hdf5


@contextmanager
def appended_group(
    path: str | Path, place: str, what: str, force: bool = False
) -> Iterator[h5py.Group]:
    """Open the new group ``place`` of a result file; a fault half-way leaves the file as it was.

    The file is copied, the copy extended and renamed.  ``what`` names the content, with its
    article, in the errors.

    Raises
    ------
    FileFormatError
        Not a result file, or ``place`` is taken and ``force`` is not set.
    """
    path = Path(path)
    taken = require_group_place(path, place, what, force)
    with atomic_path(path, force=True) as unfinished:
        shutil.copy(path, unfinished)
        with new_hdf5(unfinished, copied=True) as file:
            if taken:
                del file[place]
            yield file.create_group(place)


def require_group_place(path: Path, place: str, what: str, force: bool) -> bool:
    """Return whether ``place`` of a result file is taken; for who asks before a long job.

    Takes and raises what :func:`appended_group` does.
    """
    with open_hdf5(path) as file, reading(path, place):
        is_results = any(name in file for name in layouts.RESULTS)
        taken = place in file
    if not is_results:
        msg = f"{path.name} is not a result file; {what} is stored beside the g2 it belongs to."
        raise FileFormatError(msg)
    if taken and not force:
        msg = f"{path.name} holds {what} already; allow overwriting (force) to replace it."
        raise FileFormatError(msg)
    return taken
