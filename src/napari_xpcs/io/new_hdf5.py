"""New HDF5 files that a full disk ends in one sentence."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import h5py

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Store(io.FileIO):
    """A file that takes whatever it is given, and remembers what did not fit.

    HDF5 keeps a file open that it could not write to the end, and crashes with it when the
    process ends; so it is not told.
    """

    fault: OSError | None = None

    def write(self, data: "ReadableBuffer", /) -> int:
        left = memoryview(data).cast("B")
        wanted = len(left)
        while len(left) and self.fault is None:
            try:
                left = left[super().write(left) :]
            except OSError as fault:
                self.fault = fault
        return wanted

    def truncate(self, size: int | None = None, /) -> int:
        try:
            return super().truncate(size)
        except OSError as fault:
            self.fault = self.fault or fault
        return self.tell() if size is None else size


class NewFile(h5py.File):  # type: ignore[misc]
    """An HDF5 file that is being written; see :func:`new_hdf5`."""

    def __init__(self, store: _Store, mode: str) -> None:
        super().__init__(store, mode)
        self._store = store

    def check(self) -> None:
        """Raise the ``OSError`` that kept something from being written, if one did."""
        if self._store.fault is not None:
            raise self._store.fault


@contextmanager
def new_hdf5(path: Path, *, copied: bool = False) -> Iterator[NewFile]:
    """Give a new HDF5 file at ``path``, whole when the block ends well.

    Parameters
    ----------
    copied
        The file is there already, as a copy of one to which something is to be added.

    Raises
    ------
    OSError
        It cannot be made, or something in it could not be written: the disk is full.
    """
    mode = "r+" if copied else "w"
    with _Store(path, "r+" if copied else "w+") as store:
        try:
            with NewFile(store, mode) as file:
                yield file
        except (OSError, RuntimeError, KeyError):
            # What was not written cannot be read again either.
            if store.fault is None:
                raise
        if store.fault is not None:
            raise store.fault
