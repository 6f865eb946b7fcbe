"""Files that are whole or not there."""

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from napari_xpcs.errors import FileFormatError

ABANDONED_S = 86400.0
"""A job at work has begun or written to its file within this time."""


@contextmanager
def atomic_path(path: str | Path, force: bool = False) -> Iterator[Path]:
    """Give a temporary name beside ``path``, renamed to it when the block ends well.

    An interrupted, failed or cancelled job removes what it began and leaves an older file at
    ``path`` as it was.  What a job that was killed began is removed by a later one for
    ``path``, once nobody has written to it for a day.

    Parameters
    ----------
    path
        The file to be.
    force
        Replace a file that is there.

    Raises
    ------
    FileFormatError
        Something is there already and ``force`` is not set, or the folder cannot be written to.
    """
    path = Path(path)
    require_place(path, force)
    # A symbolic link is followed: the file that it points to is replaced, not the link.
    final = path.resolve()
    with suppress(OSError):  # a folder that may be written to but not listed, for one
        _remove_abandoned(final)
    unfinished = final.with_name(f".{final.name}.{uuid4().hex[:8]}.part")
    try:
        yield unfinished
        refuse_to_overwrite(path, force)
        unfinished.replace(final)
    except OSError as fault:
        reason = os.strerror(fault.errno) if fault.errno else str(fault)
        msg = f"{path} cannot be written: {reason}."
        raise FileFormatError(msg) from fault
    except RuntimeError as fault:
        # How h5py tells that the rest of a file did not fit when it is closed.
        told = re.search(r"error message = '([^']*)'", str(fault))
        if told is None:
            raise
        msg = f"{path} cannot be written: {told[1]}."
        raise FileFormatError(msg) from fault
    finally:
        with suppress(OSError):
            unfinished.unlink(missing_ok=True)


def _remove_abandoned(final: Path) -> None:
    """Remove what jobs for ``final`` began and have not written to for long."""
    unfinished = re.compile(rf"\.{re.escape(final.name)}\.[0-9a-f]{{8}}\.part")
    for beside in final.parent.iterdir():
        # Not at once: a job of another computer or container may be at work on it.
        if unfinished.fullmatch(beside.name) and time.time() - beside.stat().st_mtime > ABANDONED_S:
            beside.unlink(missing_ok=True)


def require_place(path: Path, force: bool) -> None:
    """Raise where no file can be written to ``path``: it is taken, or there is no such folder.

    Raises
    ------
    FileFormatError
        See above.
    """
    refuse_to_overwrite(path, force)
    if not path.parent.is_dir():
        msg = f"There is no folder {path.parent} to write {path.name} into."
        raise FileFormatError(msg)


def refuse_to_overwrite(path: Path, force: bool) -> None:
    """Raise where ``path`` is taken; a folder is never replaced.

    Raises
    ------
    FileFormatError
        See above.
    """
    if path.is_dir():
        msg = f"{path} is a folder; give the name of a file."
        raise FileFormatError(msg)
    if path.exists() and not force:
        msg = f"{path} exists already; choose another name or allow overwriting (force)."
        raise FileFormatError(msg)


def refuse_input_as_output(output: Path, *inputs: Path) -> None:
    """Raise where ``output`` is one of the files that a job reads, ``force`` or not.

    Raises
    ------
    FileFormatError
        See above.
    """
    for source in inputs:
        if source.exists() and output.exists() and source.samefile(output):
            msg = f"{output} is read by this job and is not overwritten; choose another name."
            raise FileFormatError(msg)
