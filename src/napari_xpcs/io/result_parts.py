"""What the layouts of results have in common: parts that may be absent, bins by label."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from jaxtyping import Float, Int

from napari_xpcs._typing import Image, LabelImage, Mask
from napari_xpcs.errors import FileFormatError
from napari_xpcs.io.hdf5 import read_array, read_number, read_texts, reading
from napari_xpcs.io.not_measured import not_measured_to_nan
from napari_xpcs.kernels.curves import BinTable, G2Curves
from napari_xpcs.kernels.partition import Bins, Partition


class PartReader:
    """Reads parts of an open file and gathers faults instead of stopping at the first."""

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path = path
        self.file = file
        self.problems: list[str] = []
        self.missing: list[str] = []

    def array(self, name: str, axes: int | None = None) -> Any:
        """Return the numbers at ``name``, or ``None`` and a sentence in the lists."""
        try:
            value = read_array(self.file, name)
        except FileFormatError as fault:
            self.problems.append(str(fault))
            return None
        if value is None:
            self.missing.append(name)
            return None
        if axes is not None and value.ndim != axes:
            self.problems.append(f"{name} has the shape {value.shape}; {axes} axes were expected.")
            return None
        return value

    def flat(self, name: str) -> Any:
        """Return the numbers at ``name`` as one axis."""
        value = self.array(name)
        return None if value is None else value.reshape(-1)

    def number(self, name: str) -> float | None:
        """Return the one finite number at ``name``; ``None`` where there is none."""
        try:
            value = read_number(self.file, name)
        except FileFormatError as fault:
            self.problems.append(str(fault))
            return None
        return value if value is not None and np.isfinite(value) else None

    def texts(self, name: str) -> tuple[str, ...]:
        """Return the strings at ``name``, empty if there are none."""
        try:
            return read_texts(self.file, name)
        except FileFormatError as fault:
            self.problems.append(str(fault))
            return ()

    def attribute(self, name: str, key: str) -> str:
        """Return an attribute of ``name`` as text, empty where there is none."""
        with reading(self.path, f"{name}@{key}"):
            found = self.file.get(name)
            value = None if found is None else found.attrs.get(key)
        if isinstance(value, np.ndarray):
            value = value.reshape(-1)[0] if value.size else None
        if isinstance(value, bytes):
            return value.decode(errors="replace")
        return "" if value is None else str(value)

    def members(self, name: str) -> list[str]:
        """Return what the group ``name`` holds, in order; empty where there is none."""
        try:
            with reading(self.path, name):
                found = self.file.get(name)
                return sorted(found) if isinstance(found, h5py.Group) else []
        except FileFormatError as fault:
            self.problems.append(str(fault))
            return []

    def numbered(self, group: str, prefix: str) -> tuple[tuple[str, ...], list[int]]:
        """Return paths and numbers of the members of ``group`` named ``prefix`` and a number."""
        names = [
            name
            for name in self.members(group)
            if name.startswith(prefix) and name.removeprefix(prefix).isdigit()
        ]
        return (
            tuple(f"{group}/{name}" for name in names),
            [int(name.removeprefix(prefix)) for name in names],
        )

    def frame_step(self, factors: Mapping[str, Any]) -> float:
        """Return how many raw frames one step of the delays stands for.

        Parameters
        ----------
        factors
            Stride and average by the place in the file; what is no number above 0 counts as 1.
        """
        step = 1.0
        for name, value in factors.items():
            if isinstance(value, int | float) and np.isfinite(value) and value > 0:
                step *= value
            else:
                self.problems.append(
                    f"{name} is {'absent' if value is None else value}; delays are given as if it "
                    "were 1."
                )
        return step

    def image(self, name: str, partition: Partition | None) -> Any:
        """Return one image; that it has another shape than the bins is told, not mended."""
        image = self.array(name)
        if image is None:
            return None
        if image.ndim == 3 and len(image) == 1:
            image = image[0]
        if image.ndim != 2 or 0 in image.shape:
            self.problems.append(f"{name} has the shape {image.shape}, one image was expected.")
            return None
        self.compare_detectors(name, image, partition)
        return image

    def compare_detectors(self, name: str, image: Image, partition: Partition | None) -> None:
        """Tell where an image is not of the detector that the bins are of."""
        if partition is not None and image.shape != partition.shape:
            self.problems.append(
                f"{name} has the shape {image.shape} and the partition {partition.shape}: they "
                "belong to different detectors."
            )

    def labels(self, name: str) -> LabelImage | None:
        """Return an image of bin numbers, 0 for pixels that are in none."""
        values = self.array(name, axes=2)
        if values is None or values.size == 0:
            return None
        if not np.isfinite(values).all() or (values != np.round(values)).any():
            self.problems.append(f"{name} is left out: it holds numbers that are no bins.")
            return None
        if values.min() < 0 or values.max() > values.size:
            self.problems.append(
                f"{name} is left out: bins are numbered from 1 to at most the number of pixels, "
                f"it holds {values.min()} to {values.max()}."
            )
            return None
        return np.asarray(values, dtype=np.int32)

    def mask(self, name: str, shape: tuple[int, ...]) -> Mask | None:
        """Return a mask in which 1 is a good pixel."""
        values = self.array(name, axes=2)
        if values is not None and values.shape != shape:
            self.problems.append(
                f"{name} has the shape {values.shape} and the bins {shape}: it is left out."
            )
            return None
        return None if values is None else np.asarray(values > 0)

    def measured(
        self,
        g2: Float[np.ndarray, "delay bin"],
        error: Float[np.ndarray, "delay bin"] | None,
        delays: Float[np.ndarray, " delay"] | None,
    ) -> tuple[Float[np.ndarray, "delay bin"], Float[np.ndarray, "delay bin"]] | None:
        """Return g2 and its error, NaN where nothing was measured; ``None`` without delays."""
        if delays is None:
            self.problems.append("The g2 curves are left out: no delay in s is known.")
            return None
        if len(delays) != len(g2):
            self.problems.append(
                f"The g2 curves are left out: {len(g2)} rows of g2 for {len(delays)} delays."
            )
            return None
        if error is not None and error.shape != g2.shape:
            self.problems.append(
                f"The errors of g2 have the shape {error.shape} and g2 {g2.shape}: they are left "
                "out."
            )
            error = None
        return not_measured_to_nan(g2, np.full(g2.shape, np.nan) if error is None else error)

    def curves(
        self,
        g2: Float[np.ndarray, "delay bin"],
        error: Float[np.ndarray, "delay bin"] | None,
        delay_s: Float[np.ndarray, " delay"] | None,
        bins: "LabelledBins",
        labels: Int[np.ndarray, " bin"] | None = None,
    ) -> G2Curves | None:
        """Return curves of the delays above 0; the one at 0 holds the noise of counting.

        Parameters
        ----------
        labels
            Bin numbers of the columns as the file has them, by default 1, 2, ...
        """
        measured = self.measured(g2, error, delay_s)
        if measured is None or delay_s is None:
            return None
        g2, error = measured
        columns, table = bins.columns(g2.shape[1], labels)
        if len(columns) < g2.shape[1]:
            self.problems.append(
                f"{g2.shape[1] - len(columns)} of {g2.shape[1]} columns of g2 belong to bins "
                "without pixels and are left out."
            )
        rows = delay_s > 0
        return G2Curves(
            delay_s=delay_s[rows],
            g2=g2[rows][:, columns],
            error=error[rows][:, columns],
            bins=table,
            source=str(self.path),
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelledBins:
    """Bins whose numbers in the file may have holes, and where they lie.

    Parameters
    ----------
    partition
        The bins numbered without holes; ``None`` where the file has no image of them.
    used
        Number in the file of each dynamic bin of ``partition``.
    q, phi_deg
        Of bin k of the file in entry k-1; empty where unknown.
    """

    partition: Partition | None
    used: Int[np.ndarray, " bin"]
    q: Float[np.ndarray, " label"]
    phi_deg: Float[np.ndarray, " label"]

    def columns(
        self, count: int, labels: Int[np.ndarray, " column"] | None
    ) -> tuple[Int[np.ndarray, " bin"], BinTable]:
        """Return which of ``count`` columns belong to bins, and the table of these bins."""
        if labels is None and self.partition is not None and count == len(self.used):
            labels = self.used
        labels = np.arange(1, count + 1) if labels is None else labels
        if self.partition is None:
            return np.arange(count), BinTable(
                label=labels,
                q=_entries(self.q, labels),
                phi_deg=_entries(self.phi_deg, labels),
                pixels=np.zeros(count, np.int64),
            )
        columns = np.flatnonzero(np.isin(labels, self.used))
        chosen = np.searchsorted(self.used, labels[columns])
        return columns, self.partition.table().take(chosen)

    def own_labels(self, labels: Int[np.ndarray, " bin"]) -> Int[np.ndarray, " bin"]:
        """Return numbers of the file as labels of the partition; as they are without one."""
        if self.partition is None or not np.isin(labels, self.used).all():
            return labels
        return np.searchsorted(self.used, labels) + 1


def labelled_bins(
    dynamic: LabelImage | None,
    static: LabelImage | None,
    mask: Mask | None,
    lists: Mapping[str, Float[np.ndarray, " label"] | None],
    problems: list[str],
) -> LabelledBins:
    """Return the bins of label images.

    Parameters
    ----------
    dynamic, static
        Images of bin numbers; without static bins the dynamic ones stand for them.
    mask
        Good pixels; a pixel that is not good is in no bin.
    lists
        ``q``, ``phi``, ``static_q``, ``static_phi``: centre of bin k in entry k-1.
    problems
        Where contradictions are told.
    """
    q, phi, static_q, static_phi = (
        np.zeros(0) if lists.get(name) is None else np.asarray(lists[name], np.float64).reshape(-1)
        for name in ("q", "phi", "static_q", "static_phi")
    )
    if dynamic is None:
        return LabelledBins(partition=None, used=np.zeros(0, np.int64), q=q, phi_deg=phi)
    if static is not None and static.shape != dynamic.shape:
        problems.append(
            f"The static bins have the shape {static.shape} and the dynamic ones {dynamic.shape}: "
            "the dynamic ones stand for both."
        )
        static = None
    good = np.ones(dynamic.shape, dtype=bool) if mask is None else mask
    bins, used = _bins(np.where(good, dynamic, 0), q, phi)
    parts = bins if static is None else _bins(np.where(good, static, 0), static_q, static_phi)[0]
    if not len(bins):
        problems.append("The partition is left out: no good pixel lies in a bin.")
        return LabelledBins(partition=None, used=used, q=q, phi_deg=phi)
    partition = Partition(mask=bins.labels > 0, dynamic=bins, static=parts, blemish=mask)
    return LabelledBins(partition=partition, used=used, q=q, phi_deg=phi)


def _bins(
    labels: LabelImage, q: Float[np.ndarray, " label"], phi: Float[np.ndarray, " label"]
) -> tuple[Bins, Int[np.ndarray, " bin"]]:
    """Return bins numbered without holes, and the number that each has in ``labels``."""
    used = np.unique(labels[labels > 0])
    compact = np.where(labels > 0, np.searchsorted(used, labels) + 1, 0).astype(np.int32)
    grid, index, centers = _grid(_entries(q, used), _entries(phi, used))
    return (
        Bins(
            labels=compact,
            grid=grid,
            index=index,
            centers=centers,
            edges=None,
            pixels=np.bincount(compact.reshape(-1), minlength=len(used) + 1)[1:],
        ),
        used,
    )


def _entries(
    values: Float[np.ndarray, " label"], labels: Int[np.ndarray, " bin"]
) -> Float[np.ndarray, " bin"]:
    """Return entry k-1 for label k, NaN behind the end of the list."""
    padded = np.full(max(int(labels.max(initial=0)), len(values)), np.nan)
    padded[: len(values)] = values
    return np.asarray(padded[labels - 1])


def _grid(
    q: Float[np.ndarray, " bin"], phi: Float[np.ndarray, " bin"]
) -> tuple[tuple[int, int], Int[np.ndarray, " bin"], tuple[np.ndarray, np.ndarray]]:
    """Return a grid of centres that holds every (q, phi), each at a place of its own."""
    q_axis, at_q = np.unique(q, return_inverse=True)
    phi_axis, at_phi = np.unique(phi, return_inverse=True)
    index = at_q * len(phi_axis) + at_phi
    if len(np.unique(index)) < len(index):
        q_axis, phi_axis = q, phi
        index = np.arange(len(q)) * (len(phi) + 1)
    return (len(q_axis), len(phi_axis)), index, (q_axis, phi_axis)
