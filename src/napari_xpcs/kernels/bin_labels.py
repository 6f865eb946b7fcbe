"""From the place of a pixel along two axes to its static and dynamic label."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float, Int

from napari_xpcs._typing import Array, LabelImage
from napari_xpcs.backends import BackendProtocol, ensure_numpy
from napari_xpcs.kernels.axis_bins import AxisBins
from napari_xpcs.kernels.padding import padded_length
from napari_xpcs.kernels.row_blocks import over_rows
from napari_xpcs.kernels.segment_lookup import SegmentLookup, bin_axis


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LabelTable:
    """Compact labels of natural positions; ``label`` is per *static* natural position."""

    grid: tuple[int, int]
    label: Int[np.ndarray, " static"]
    index: Int[np.ndarray, " bin"]
    pixels: Int[np.ndarray, " bin"]

    @classmethod
    def of(
        cls,
        counts: Int[np.ndarray, " position"],
        grid: tuple[int, int],
        position: Int[np.ndarray, " static"] | None = None,
    ) -> "LabelTable":
        """Return compact labels; ``position`` maps static positions to those of ``counts``."""
        index = np.flatnonzero(counts)
        label = np.zeros(len(counts), dtype=np.int32)
        label[index] = np.arange(1, len(index) + 1)
        label = label if position is None else label[position]
        return cls(grid=grid, label=label, index=index, pixels=counts[index])

    def grouped(self, first: int, second: int) -> "LabelTable":
        """Return the table of groups of ``first`` times ``second`` bins."""
        rows, cols = self.grid[0] // first, self.grid[1] // second
        along, across = np.divmod(np.arange(self.grid[0] * self.grid[1]), self.grid[1])
        position = (along // first) * cols + across // second
        counts = np.zeros(rows * cols, dtype=np.int64)
        np.add.at(counts, position[self.index], self.pixels)
        table = LabelTable.of(counts, (rows, cols), position)
        # A static bin that was left out takes its pixels out of the dynamic bin too.
        return replace(table, label=np.where(self.label > 0, table.label, 0))


def number_pixels(
    values: list[Float[Array, "row col"]],
    used: Bool[Array, "row col"],
    axes: list[AxisBins],
    *,
    xp: BackendProtocol,
) -> tuple[Int[Array, "row col"], Int[np.ndarray, " position"]]:
    """Return 1 + the natural static position of every pixel, and the pixels at each."""
    positions = len(axes[0]) * len(axes[1]) + 1
    # An axis of one bin needs no look at its values: every used pixel lies in it.
    lookups = [
        _scaled(axis.lookup(), across) if len(axis) > 1 else None
        for axis, across in zip(axes, (len(axes[1]), 1), strict=True)
    ]
    tables = tuple(None if lookup is None else lookup.arrays(xp=xp) for lookup in lookups)
    compiled = xp.jit(_natural_numbers, static_argnames=("steps", "length", "xp"))

    def work(rows: slice) -> tuple[dict[str, Array], Array]:
        natural, counts = compiled(
            tuple(array[rows] for array in values),
            used[rows],
            tables,
            steps=tuple(0 if lookup is None else lookup.steps for lookup in lookups),
            length=padded_length(positions),
            xp=xp,
        )
        return {"natural": natural}, counts

    made, counts = over_rows(work, used.shape, xp=xp)
    return made["natural"], np.sum([ensure_numpy(count)[:positions] for count in counts], axis=0)


_GAP = -(1 << 29)
"""Position of a gap: far enough below 0 for any sum with a position to stay there."""


def _scaled(lookup: SegmentLookup, across: int) -> SegmentLookup:
    """Return ``lookup`` with 0-based positions times ``across`` for the numbers of bins."""
    numbers = lookup.numbers
    return replace(lookup, numbers=np.where(numbers > 0, (numbers - 1) * across, _GAP))


def _natural_numbers(
    values: tuple[Array, Array],
    used: Bool[Array, "row col"],
    tables: tuple[Mapping[str, Array] | None, Mapping[str, Array] | None],
    *,
    steps: tuple[int, ...],
    length: int,
    xp: BackendProtocol,
) -> tuple[Int[Array, "row col"], Int[Array, " position"]]:
    first, second = (
        0 if table is None else bin_axis(values[axis], table, steps=steps[axis], xp=xp)
        for axis, table in enumerate(tables)
    )
    natural = xp.maximum(first + second + 1, 0) * used
    return natural, xp.bincount(xp.ravel(natural), length=length)


def labels_of(
    tables: tuple[LabelTable, ...], natural: Int[Array, "row col"], *, xp: BackendProtocol
) -> list[LabelImage]:
    """Return the label image of each table."""
    size = padded_length(len(tables[0].label) + 1)
    lookups = tuple(
        xp.asarray(np.pad(table.label, (1, size - 1 - len(table.label)))) for table in tables
    )
    compiled = xp.jit(_take_each, static_argnames=("xp",))

    def work(rows: slice) -> tuple[dict[str, Array], None]:
        return compiled(lookups, natural[rows], xp=xp), None

    made, _ = over_rows(work, natural.shape, xp=xp)
    return [ensure_numpy(made[str(number)]) for number in range(len(tables))]


def _take_each(
    lookups: tuple[Int[Array, " position"], ...],
    natural: Int[Array, "row col"],
    *,
    xp: BackendProtocol,
) -> dict[str, Int[Array, "row col"]]:
    return {str(number): xp.take(lookup, natural) for number, lookup in enumerate(lookups)}
