"""The state of a run on disk, so that a run that was killed goes on where it was."""

import hashlib
import json
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np

from napari_xpcs.errors import CorrelationError

EVERY_S = 60.0
"""Time between two checkpoints; one of 512 x 512 pixels takes half a second."""

_LAYOUT = 2
"""What is saved, and what it means: to be counted up with any change of a saved state."""


@dataclass(slots=True, kw_only=True, eq=False)
class Checkpoint:
    """A file beside the result, which is there only while a run is not finished.

    Parameters
    ----------
    path
        The file.
    key
        Tells the run and its options (:func:`run_key`); the checkpoint of another is not used.
    every_s
        Time between two saves.
    at_end
        Save when all frames are read, too: something else follows before the result is written.
    """

    path: Path
    key: str
    every_s: float = EVERY_S
    at_end: bool = False
    fault: str = field(default="", init=False)
    """Why the last :meth:`save_in_time` failed, in a sentence; empty where it did not."""
    _saved: float = field(default_factory=time.monotonic, init=False)

    def save(self, state: Any) -> None:
        """Write the file anew; one that is killed meanwhile leaves the older one.

        Parameters
        ----------
        state
            A dataclass of numbers, arrays, tuples of them, lists, and further such dataclasses.

        Raises
        ------
        CorrelationError
            The file cannot be written.
        """
        unfinished = self._unfinished()
        arrays = dict(_arrays("", state))
        try:
            with unfinished.open("wb") as file:
                np.savez(file, allow_pickle=False, key=np.array(self._full_key()), **arrays)
            unfinished.replace(self.path)
        except OSError as fault:
            unfinished.unlink(missing_ok=True)
            msg = f"The checkpoint {self.path} cannot be written: {fault.strerror or fault}."
            raise CorrelationError(msg) from fault

    def save_in_time(self, state: Callable[[], Any], *, now: bool = False) -> None:
        """Save ``state()`` if the last time is long ago, or ``now``.

        A run is worth more than its checkpoint: it goes on where this cannot be written, and
        :attr:`fault` says so.
        """
        if not now and time.monotonic() - self._saved <= self.every_s:
            return
        self.fault = ""
        try:
            self.save(state())
        except CorrelationError as fault:
            self.fault = str(fault)
        self._saved = time.monotonic()

    def load(self) -> dict[str, Any] | None:
        """Return the fields of what was saved of the same run; ``None`` if there is no such file.

        Dataclasses within are such dictionaries, too, and tuples are arrays.
        """
        if not self.path.exists():
            return None
        try:
            with self.path.open("rb") as stored, np.load(stored) as file:
                if str(file["key"]) != self._full_key():
                    return None
                return _tree({name: file[name] for name in file.files if name != "key"})
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile):
            # Of another program or damaged: the run starts anew, and replaces it.
            return None

    def remove(self) -> None:
        """Remove the file of a run that is finished, and what a kill left of a newer one."""
        for path in (self.path, self._unfinished()):
            path.unlink(missing_ok=True)

    def _unfinished(self) -> Path:
        return self.path.with_name(f"{self.path.name}~")

    def _full_key(self) -> str:
        return f"{_LAYOUT} {self.key}"


def run_key(arrays: Iterable[np.ndarray], options: Mapping[str, Any]) -> str:
    """Return a hash of all that the state of a run depends on.

    Parameters
    ----------
    arrays
        Labels and mask of the bins.
    options
        Values that JSON can hold, or whose ``repr`` tells them.
    """
    digest = hashlib.sha256(json.dumps(options, sort_keys=True, default=repr).encode())
    for array in arrays:
        digest.update(array_hash(array).encode())
    return digest.hexdigest()


def array_hash(array: np.ndarray) -> str:
    """Return the SHA-256 of type, shape and values of an array."""
    digest = hashlib.sha256(f"{array.dtype.str} {array.shape} ".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _arrays(name: str, value: Any) -> Iterator[tuple[str, np.ndarray]]:
    """Yield every array in a state with its name, as ``sums.total`` or ``c2.0``."""
    if is_dataclass(value):
        parts = ((each.name, getattr(value, each.name)) for each in fields(value))
    elif isinstance(value, list):
        parts = ((str(number), each) for number, each in enumerate(value))
    else:
        yield name, np.asarray(value)
        return
    for part, each in parts:
        yield from _arrays(f"{name}.{part}" if name else part, each)


def _tree(arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for name, array in arrays.items():
        *above, last = name.split(".")
        here = tree
        for part in above:
            here = here.setdefault(part, {})
        here[last] = array if array.ndim else array.item()
    return {name: _with_lists(part) for name, part in tree.items()}


def _with_lists(part: Any) -> Any:
    if not isinstance(part, dict):
        return part
    within = {name: _with_lists(each) for name, each in part.items()}
    return list(within.values()) if "0" in within else within
