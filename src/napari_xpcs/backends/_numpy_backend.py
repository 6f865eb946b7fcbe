"""The backend that needs NumPy only: no compilation, no derivatives, the same numbers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

import numpy as np

from napari_xpcs._typing import Array
from napari_xpcs.backends import _loops
from napari_xpcs.backends._base import Tree
from napari_xpcs.backends._conversions import ensure_numpy, host_array
from napari_xpcs.backends._members import SharedMembers


@dataclass(frozen=True)
class NumPyBackend(SharedMembers):
    """NumPy under :class:`~napari_xpcs.backends.BackendProtocol`; all instances are equal."""

    _np: ClassVar[Any] = np

    name: ClassVar[str] = "numpy"
    supports_gpu: ClassVar[bool] = False
    supports_jit: ClassVar[bool] = False
    supports_grad: ClassVar[bool] = False

    def _promote(self, *xs: Any) -> list[Array]:
        dtype = np.result_type(*(x if _is_scalar(x) else self.asarray(x) for x in xs))
        return [np.asarray(x, dtype) for x in xs]

    # --- creation ---------------------------------------------------------------------

    def array(self, values: Any, dtype: Any = None) -> Array:
        return np.array(self.asarray(values), dtype)

    def asarray(self, values: Any, dtype: Any = None) -> Array:
        array = host_array(values)
        if not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
        return array if dtype is None else array.astype(dtype, copy=False)

    def linspace(
        self, start: Any, stop: Any, num: int = 50, *, endpoint: bool = True, dtype: Any = None
    ) -> Array:
        return np.linspace(start, stop, num, endpoint=endpoint, dtype=dtype)

    # --- maths ------------------------------------------------------------------------

    def matmul(self, x: Array, y: Array) -> Array:
        return np.matmul(*self._promote(x, y))

    def einsum(self, subscripts: str, *operands: Array) -> Array:
        return np.einsum(subscripts, *self._promote(*operands), optimize=True)

    # --- binning ----------------------------------------------------------------------

    def bincount(
        self,
        x: Array,
        weights: Array | None = None,
        minlength: int = 0,
        *,
        length: int | None = None,
    ) -> Array:
        x = self.asarray(x)
        if length is None:
            return np.bincount(x, weights, minlength)
        if x.size and x.min() >= 0 and x.max() < length:
            return np.bincount(x, weights, length)
        inside = (x >= 0) & (x < length)
        if weights is not None:
            weights = np.asarray(weights)[inside]
        return np.bincount(x[inside], weights, length)

    def nonzero(
        self, x: Array, *, size: int | None = None, fill_value: int = 0
    ) -> tuple[Array, ...]:
        found = np.nonzero(self.asarray(x))
        return found if size is None else tuple(_resize(i, size, fill_value) for i in found)

    def unique(
        self,
        x: Array,
        *,
        return_inverse: bool = False,
        return_counts: bool = False,
        size: int | None = None,
        fill_value: Any = None,
    ) -> Any:
        values, inverse, counts = np.unique(
            self.asarray(x), return_inverse=True, return_counts=True
        )
        if size is not None:
            if fill_value is None:
                fill_value = values[0] if len(values) else 0
            values = _resize(values, size, fill_value)
            counts = _resize(counts, size, 0)
        extras = [inverse] * return_inverse + [counts] * return_counts
        return (values, *extras) if extras else values

    def segment_sum(self, values: Array, segment_ids: Array, num_segments: int) -> Array:
        values, ids = self.asarray(values), self.asarray(segment_ids)
        inside = (ids >= 0) & (ids < num_segments)
        values, ids = values[inside], ids[inside]
        shape = (num_segments, *values.shape[1:])
        if values.dtype.kind == "f":
            # One bincount over (segment, rest) is many times faster than add.at.
            width = int(np.prod(values.shape[1:], dtype=np.int64))
            flat = (ids[:, None] * width + np.arange(width)).ravel()
            sums = np.bincount(flat, values.ravel(), num_segments * width)
            return sums.reshape(shape).astype(values.dtype)
        sums = np.zeros(shape, np.sum(values[:0]).dtype)
        np.add.at(sums, ids, values)
        return sums

    # --- manipulation -----------------------------------------------------------------

    def _from_start(self, indices: Array, size: int) -> Array:
        # Looking costs a tenth of the copy, and there are hardly ever negative ones.
        if indices.size and indices.min() >= 0:
            return indices
        return super()._from_start(indices, size)

    # --- conversion -------------------------------------------------------------------

    def to_numpy(self, x: Array) -> Any:
        return ensure_numpy(x)

    def from_numpy(self, x: Any) -> Array:
        return self.asarray(x)

    # --- compilation, derivatives, loops ----------------------------------------------

    def jit(
        self, fun: Callable[..., Any], *, static_argnames: Sequence[str] = ()
    ) -> Callable[..., Any]:
        del static_argnames
        return fun

    def grad(
        self, fun: Callable[..., Any], argnums: int | tuple[int, ...] = 0, *, has_aux: bool = False
    ) -> Callable[..., Any]:
        del fun, argnums, has_aux
        _no_derivatives()

    def value_and_grad(
        self, fun: Callable[..., Any], argnums: int | tuple[int, ...] = 0, *, has_aux: bool = False
    ) -> Callable[..., Any]:
        del fun, argnums, has_aux
        _no_derivatives()

    def vmap(
        self, fun: Callable[..., Any], in_axes: Any = 0, out_axes: int = 0
    ) -> Callable[..., Any]:
        def mapped(*args: Tree) -> Tree:
            return _loops.vmap(fun, in_axes, out_axes, args)

        return mapped

    def scan(
        self,
        f: Callable[[Tree, Tree], tuple[Tree, Tree]],
        init: Tree,
        xs: Tree = None,
        length: int | None = None,
        *,
        reverse: bool = False,
    ) -> tuple[Tree, Tree]:
        return _loops.scan(f, init, xs, length, reverse)

    def fori_loop(
        self, lower: Any, upper: Any, body_fun: Callable[[Any, Tree], Tree], init_val: Tree
    ) -> Tree:
        state = init_val
        for i in range(int(lower), int(upper)):
            state = body_fun(i, state)
        return state

    def optimization_barrier(self, x: Tree) -> Tree:
        return x

    def block_until_ready(self, x: Tree) -> Tree:
        return x


def _is_scalar(x: Any) -> bool:
    """Return whether ``x`` is a Python number, whose type bends to that of arrays."""
    return type(x) in (bool, int, float, complex)


def _resize(x: np.ndarray[Any, Any], size: int, fill: Any) -> np.ndarray[Any, Any]:
    """Return the first ``size`` entries, followed by ``fill`` where there are fewer."""
    result = np.full(size, fill, x.dtype)
    result[: len(x)] = x[:size]
    return result


def _no_derivatives() -> NoReturn:
    message = (
        "The NumPy backend has no derivatives. Set XPCS_USE_JAX=true (pip install jax), or "
        "check supports_grad and take a path without them."
    )
    raise NotImplementedError(message)
