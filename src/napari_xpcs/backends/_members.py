"""The members whose body is the same on both backends, written once over a namespace."""

from collections.abc import Sequence
from math import prod
from typing import Any, ClassVar

import numpy as np

from napari_xpcs._typing import Array
from napari_xpcs.backends._base import Axis, Shape

silent = np.errstate(all="ignore")
"""JAX never warns because of a value; with this NumPy does not either."""


class SharedMembers:
    """Members of the protocol that only forward, or are built from others.

    A backend names its array namespace in ``_np`` and says in two methods how values become
    arrays and how types are promoted.
    """

    _np: ClassVar[Any]

    pi: ClassVar[float] = float(np.pi)
    inf: ClassVar[float] = float(np.inf)
    nan: ClassVar[float] = float(np.nan)
    float64: ClassVar[Any] = np.float64
    float32: ClassVar[Any] = np.float32
    int32: ClassVar[Any] = np.int32

    def asarray(self, values: Any, dtype: Any = None) -> Array:
        raise NotImplementedError

    def _promote(self, *xs: Any) -> list[Array]:
        """Return arrays of the one type that NumPy would choose."""
        raise NotImplementedError

    def _inexact(self, x: Any) -> Array:
        """Return an array that is not integer: integers and booleans become float64."""
        x = self.asarray(x)
        return x.astype(np.float64) if x.dtype.kind in "biu" else x

    def _promote_inexact(self, *xs: Any) -> list[Array]:
        return [self._inexact(x) for x in self._promote(*xs)]

    def _index(self, x: Array) -> Array:
        return x.astype(np.int64)

    # --- creation ---------------------------------------------------------------------

    def zeros(self, shape: Shape, dtype: Any = None) -> Array:
        return self._np.zeros(shape, np.float64 if dtype is None else dtype)

    def ones(self, shape: Shape, dtype: Any = None) -> Array:
        return self._np.ones(shape, np.float64 if dtype is None else dtype)

    def full(self, shape: Shape, fill_value: Any, dtype: Any = None) -> Array:
        return self._np.full(shape, self.asarray(fill_value), dtype)

    def arange(self, start: Any, stop: Any = None, step: Any = None, dtype: Any = None) -> Array:
        first, end = (0, start) if stop is None else (start, stop)
        values: Array = np.arange(first, end, 1 if step is None else step, dtype=dtype)
        return self.asarray(values)

    def zeros_like(self, x: Array, dtype: Any = None) -> Array:
        return self._np.zeros_like(self.asarray(x), dtype=dtype)

    def ones_like(self, x: Array, dtype: Any = None) -> Array:
        return self._np.ones_like(self.asarray(x), dtype=dtype)

    # --- trigonometry and rounding ----------------------------------------------------

    @silent
    def sin(self, x: Array) -> Array:
        return self._np.sin(self._inexact(x))

    @silent
    def cos(self, x: Array) -> Array:
        return self._np.cos(self._inexact(x))

    @silent
    def tan(self, x: Array) -> Array:
        return self._np.tan(self._inexact(x))

    @silent
    def arcsin(self, x: Array) -> Array:
        return self._np.arcsin(self._inexact(x))

    @silent
    def arccos(self, x: Array) -> Array:
        return self._np.arccos(self._inexact(x))

    def arctan(self, x: Array) -> Array:
        return self._np.arctan(self._inexact(x))

    def arctan2(self, y: Array, x: Array) -> Array:
        return self._np.arctan2(*self._promote_inexact(y, x))

    @silent
    def sinh(self, x: Array) -> Array:
        return self._np.sinh(self._inexact(x))

    @silent
    def cosh(self, x: Array) -> Array:
        return self._np.cosh(self._inexact(x))

    def tanh(self, x: Array) -> Array:
        return self._np.tanh(self._inexact(x))

    @silent
    def hypot(self, x: Array, y: Array) -> Array:
        return self._np.hypot(*self._promote_inexact(x, y))

    def deg2rad(self, x: Array) -> Array:
        return self._np.deg2rad(self._inexact(x))

    def rad2deg(self, x: Array) -> Array:
        return self._np.rad2deg(self._inexact(x))

    def floor(self, x: Array) -> Array:
        return self._np.floor(self.asarray(x))

    def ceil(self, x: Array) -> Array:
        return self._np.ceil(self.asarray(x))

    @silent
    def round(self, x: Array, decimals: int = 0) -> Array:
        return self._np.round(self.asarray(x), decimals)

    def sign(self, x: Array) -> Array:
        return self._np.sign(self.asarray(x))

    @silent
    def sinc(self, x: Array) -> Array:
        return self._np.sinc(self._inexact(x))

    # --- maths ------------------------------------------------------------------------

    @silent
    def exp(self, x: Array) -> Array:
        return self._np.exp(self._inexact(x))

    @silent
    def expm1(self, x: Array) -> Array:
        return self._np.expm1(self._inexact(x))

    @silent
    def log(self, x: Array) -> Array:
        return self._np.log(self._inexact(x))

    @silent
    def log1p(self, x: Array) -> Array:
        return self._np.log1p(self._inexact(x))

    @silent
    def log10(self, x: Array) -> Array:
        return self._np.log10(self._inexact(x))

    @silent
    def sqrt(self, x: Array) -> Array:
        return self._np.sqrt(self._inexact(x))

    def abs(self, x: Array) -> Array:
        return self._np.abs(self.asarray(x))

    @silent
    def power(self, x: Array, exponent: Array) -> Array:
        return self._np.power(*self._promote(x, exponent))

    @silent
    def square(self, x: Array) -> Array:
        return self._np.square(self.asarray(x))

    @silent
    def maximum(self, x: Array, y: Array) -> Array:
        return self._np.maximum(*self._promote(x, y))

    @silent
    def minimum(self, x: Array, y: Array) -> Array:
        return self._np.minimum(*self._promote(x, y))

    def clip(self, x: Array, a_min: Any = None, a_max: Any = None) -> Array:
        x = self.asarray(x)
        if a_min is not None:
            x = self.maximum(x, a_min)
        return x if a_max is None else self.minimum(x, a_max)

    @silent
    def mod(self, x: Array, y: Array) -> Array:
        return self._np.mod(*self._promote(x, y))

    # --- statistics -------------------------------------------------------------------

    @silent
    def mean(self, x: Array, axis: Axis = None, *, keepdims: bool = False) -> Array:
        x = self._inexact(x)
        total = self._np.sum(x, axis=axis, keepdims=keepdims)
        count = _count(x.shape, axis)
        return total / count if count else total * np.nan

    @silent
    def std(self, x: Array, axis: Axis = None, *, ddof: float = 0, keepdims: bool = False) -> Array:
        x = self._inexact(x)
        squares = self._np.square(self._np.abs(x - self.mean(x, axis, keepdims=True)))
        total = self._np.sum(squares, axis=axis, keepdims=keepdims)
        freedom = _count(x.shape, axis) - ddof
        return self._np.sqrt(total / freedom if freedom > 0 else total * np.nan)

    @silent
    def nanmean(self, x: Array, axis: Axis = None, *, keepdims: bool = False) -> Array:
        x = self._inexact(x)
        there = ~self._np.isnan(x)
        total = self._np.sum(self.where(there, x, 0), axis=axis, keepdims=keepdims)
        count = self._np.sum(there, axis=axis, keepdims=keepdims)
        return self.where(count > 0, total / self._np.maximum(count, 1).astype(total.dtype), np.nan)

    def nanmin(self, x: Array, axis: Axis = None, *, keepdims: bool = False) -> Array:
        x = self.asarray(x)
        if x.dtype.kind not in "fc":
            return self.min(x, axis, keepdims=keepdims)
        absent = self._np.isnan(x)
        smallest = self.min(self.where(absent, np.inf, x), axis, keepdims=keepdims)
        return self.where(self.all(absent, axis, keepdims=keepdims), np.nan, smallest)

    def nanmax(self, x: Array, axis: Axis = None, *, keepdims: bool = False) -> Array:
        x = self.asarray(x)
        if x.dtype.kind not in "fc":
            return self.max(x, axis, keepdims=keepdims)
        absent = self._np.isnan(x)
        largest = self.max(self.where(absent, -np.inf, x), axis, keepdims=keepdims)
        return self.where(self.all(absent, axis, keepdims=keepdims), np.nan, largest)

    @silent
    def sum(self, x: Array, axis: Axis = None, *, keepdims: bool = False) -> Array:
        x = self.asarray(x)
        return self._np.sum(x, axis=axis, dtype=_summed(x.dtype), keepdims=keepdims)

    @silent
    def min(self, x: Array, axis: Axis = None, *, keepdims: bool = False) -> Array:
        return self._np.min(self.asarray(x), axis=axis, keepdims=keepdims)

    @silent
    def max(self, x: Array, axis: Axis = None, *, keepdims: bool = False) -> Array:
        return self._np.max(self.asarray(x), axis=axis, keepdims=keepdims)

    @silent
    def percentile(self, x: Array, q: Any, axis: Axis = None, *, keepdims: bool = False) -> Array:
        # Not the namespace's own: NumPy's raises where there is nothing, and both lose an
        # exact hit beside an infinite value to 0 * inf.
        x, q = self._inexact(x), self._inexact(q)
        axes = _axes(x.ndim, axis)
        kept = tuple(1 if i in axes else n for i, n in enumerate(x.shape))
        if not keepdims:
            kept = tuple(n for i, n in enumerate(x.shape) if i not in axes)
        count = _count(x.shape, axis)
        if count == 0:
            return self._np.full(q.shape + kept, np.nan, x.dtype)
        ranked = self._np.moveaxis(x, axes, tuple(range(len(axes)))).reshape(count, *kept)
        ranked = self._np.sort(ranked, axis=0)
        position = q.astype(x.dtype) / 100 * (count - 1)
        below = self._np.floor(position)
        start = below.astype(np.int64)
        low, high = ranked[start], ranked[self._np.minimum(start + 1, count - 1)]
        step = (position - below).reshape(q.shape + (1,) * len(kept))
        between = self.where((step > 0) & (high != low), (high - low) * step, 0)
        # NaN is sorted to the end.
        return self.where(self._np.isnan(ranked[-1]), np.nan, low + between)

    def searchsorted(self, sorted_values: Array, x: Array, side: str = "left") -> Array:
        sorted_values, x = self._promote(sorted_values, x)
        return self._index(self._np.searchsorted(sorted_values, x, side=side))

    def argmax(self, x: Array, axis: int | None = None) -> Array:
        return self._index(self._np.argmax(self.asarray(x), axis=axis))

    def sort(self, x: Array, axis: int = -1) -> Array:
        return self._np.sort(self.asarray(x), axis=axis)

    # --- binning ----------------------------------------------------------------------

    def digitize(self, x: Array, bins: Array, right: bool = False) -> Array:
        x, bins = self._promote(x, bins)
        return self._index(self._np.digitize(x, bins, right=right))

    # --- boolean ----------------------------------------------------------------------

    def where(self, condition: Array, x: Array, y: Array) -> Array:
        return self._np.where(self.asarray(condition), *self._promote(x, y))

    def isnan(self, x: Array) -> Array:
        return self._np.isnan(self.asarray(x))

    def isfinite(self, x: Array) -> Array:
        return self._np.isfinite(self.asarray(x))

    def all(self, x: Array, axis: Axis = None, *, keepdims: bool = False) -> Array:
        return self._np.all(self.asarray(x), axis=axis, keepdims=keepdims)

    def any(self, x: Array, axis: Axis = None, *, keepdims: bool = False) -> Array:
        return self._np.any(self.asarray(x), axis=axis, keepdims=keepdims)

    def logical_and(self, x: Array, y: Array) -> Array:
        return self._np.logical_and(self.asarray(x), self.asarray(y))

    def logical_or(self, x: Array, y: Array) -> Array:
        return self._np.logical_or(self.asarray(x), self.asarray(y))

    def logical_not(self, x: Array) -> Array:
        return self._np.logical_not(self.asarray(x))

    # --- manipulation -----------------------------------------------------------------

    def reshape(self, x: Array, shape: Shape) -> Array:
        return self._np.reshape(self.asarray(x), shape)

    def ravel(self, x: Array) -> Array:
        return self._np.ravel(self.asarray(x))

    def transpose(self, x: Array, axes: Sequence[int] | None = None) -> Array:
        return self._np.transpose(self.asarray(x), axes)

    def concatenate(self, xs: Sequence[Array], axis: int | None = 0) -> Array:
        return self._np.concatenate(self._promote(*xs), axis=axis)

    def stack(self, xs: Sequence[Array], axis: int = 0) -> Array:
        return self._np.stack(self._promote(*xs), axis=axis)

    def broadcast_to(self, x: Array, shape: Shape) -> Array:
        return self._np.broadcast_to(self.asarray(x), shape)

    def flip(self, x: Array, axis: Axis = None) -> Array:
        return self._np.flip(self.asarray(x), axis)

    def take(self, x: Array, indices: Array, axis: int | None = None) -> Array:
        x, indices = self.asarray(x), self.asarray(indices)
        size = x.size if axis is None else x.shape[axis]
        return self._np.take(x, self._from_start(indices, size), axis=axis, mode="clip")

    def _from_start(self, indices: Array, size: int) -> Array:
        """Return ``indices`` with negative ones counted from the start."""
        return self._np.where(indices < 0, indices + size, indices)

    def pad(self, x: Array, pad_width: Any, mode: str = "constant", **options: Any) -> Array:
        return self._np.pad(self.asarray(x), pad_width, mode, **options)

    # --- conversion -------------------------------------------------------------------

    @silent
    def astype(self, x: Array, dtype: Any) -> Array:
        x = self.asarray(x)
        if x.dtype.kind == "c" and np.dtype(dtype).kind not in "cb":
            x = x.real
        return x.astype(dtype)


def _axes(ndim: int, axis: Axis) -> tuple[int, ...]:
    if axis is None:
        return tuple(range(ndim))
    axes = axis if isinstance(axis, tuple) else (axis,)
    return tuple(np.lib.array_utils.normalize_axis_index(i, ndim) for i in axes)


def _count(shape: tuple[int, ...], axis: Axis) -> int:
    """Return how many values a reduction over ``axis`` takes together."""
    return prod(shape[i] for i in _axes(len(shape), axis))


def _summed(dtype: Any) -> Any:
    """Return the type in which values of ``dtype`` are added up: integers in 64 bits."""
    return {"b": np.int64, "i": np.int64, "u": np.uint64}.get(np.dtype(dtype).kind, dtype)
