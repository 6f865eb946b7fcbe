"""The state of a run on disk, so that a run that was killed goes on where it was."""

import hashlib
import json
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from napari_xpcs.correlate.binning import BinSums
from napari_xpcs.correlate.run_state import RunState
from napari_xpcs.correlate.run_sums import RunSums
from napari_xpcs.errors import CorrelationError
from napari_xpcs.kernels.multitau import PairNumbers
from napari_xpcs.kernels.multitau_state import MultiTauState

EVERY_S = 60.0
"""Time between two checkpoints; one of 512 x 512 pixels takes half a second."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Saved:
    """What a run has to remember.

    Parameters
    ----------
    state
        The frames so far.
    snapshots
        Sums after the spans of time so far.
    corrupt
        Raw frames that could not be read.
    """

    state: RunState
    snapshots: list[BinSums]
    corrupt: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
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
    """

    path: Path
    key: str
    every_s: float = EVERY_S

    def save(self, saved: Saved) -> None:
        """Write the file anew; one that is killed meanwhile leaves the older one.

        Raises
        ------
        CorrelationError
            The file cannot be written.
        """
        unfinished = self.path.with_name(f"{self.path.name}~")
        try:
            with unfinished.open("wb") as file:
                np.savez(file, allow_pickle=False, key=np.array(self.key), **_to_arrays(saved))
            unfinished.replace(self.path)
        except OSError as fault:
            unfinished.unlink(missing_ok=True)
            msg = f"The checkpoint {self.path} cannot be written: {fault.strerror or fault}."
            raise CorrelationError(msg) from fault

    def load(self) -> Saved | None:
        """Return what was saved of the same run; ``None`` if there is no such file."""
        if not self.path.exists():
            return None
        try:
            with self.path.open("rb") as stored, np.load(stored) as file:
                if str(file["key"]) != self.key:
                    return None
                return _from_arrays({name: file[name] for name in file.files})
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            # Of another program or damaged: the run starts anew, and replaces it.
            return None

    def remove(self) -> None:
        """Remove the file of a run that is finished."""
        self.path.unlink(missing_ok=True)


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


def _to_arrays(saved: Saved) -> dict[str, Any]:
    arrays = {}
    for prefix, part in (("levels", saved.state.levels), ("sums", saved.state.sums)):
        for field in fields(part):
            arrays[f"{prefix}.{field.name}"] = np.asarray(getattr(part, field.name))
    arrays["corrupt"] = np.array(saved.corrupt, dtype=np.int64)
    for number, each in enumerate(saved.snapshots):
        arrays[f"snapshot{number}.frames"] = np.array(each.frames)
        arrays[f"snapshot{number}.static_sums"] = each.static_sums
        arrays[f"snapshot{number}.pixel_sums"] = each.pixel_sums
        arrays[f"snapshot{number}.numbers"] = np.stack(each.numbers)
    return arrays


def _from_arrays(arrays: dict[str, np.ndarray]) -> Saved:
    def part(prefix: str) -> dict[str, Any]:
        return {
            name.removeprefix(prefix): value if value.ndim else value.item()
            for name, value in arrays.items()
            if name.startswith(prefix)
        }

    snapshots: list[BinSums] = []
    while f"snapshot{len(snapshots)}.frames" in arrays:
        stored = part(f"snapshot{len(snapshots)}.")
        snapshots.append(BinSums(**{**stored, "numbers": PairNumbers(*stored["numbers"])}))
    return Saved(
        state=RunState(levels=MultiTauState(**part("levels.")), sums=RunSums(**part("sums."))),
        snapshots=snapshots,
        corrupt=tuple(arrays["corrupt"].tolist()),
    )
