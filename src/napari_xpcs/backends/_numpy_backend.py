"""The backend that needs NumPy only: no compilation, no derivatives, the same numbers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

import numpy as np

from napari_xpcs._typing import Array
from napari_xpcs.backends import _loops
from napari_xpcs.backends._base import Tree
from napari_xpcs.backends._conversions import ensure_numpy, host_array
from napari_xpcs.backends._members import SharedMembers, silent


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

    def logspace(
        self,
        start: Any,
        stop: Any,
        num: int = 50,
        *,
        endpoint: bool = True,
        base: float = 10.0,
        dtype: Any = None,
    ) -> Array:
        return np.logspace(start, stop, num, endpoint=endpoint, base=base, dtype=dtype)

    # --- maths ------------------------------------------------------------------------

    def dot(self, x: Array, y: Array) -> Array:
        return np.dot(*self._promote(x, y))

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

    # --- boolean ----------------------------------------------------------------------

    def nonzero(
        self, x: Array, *, size: int | None = None, fill_value: int = 0
    ) -> tuple[Array, ...]:
        found = np.nonzero(self.asarray(x))
        return found if size is None else tuple(_resize(i, size, fill_value) for i in found)

    # --- manipulation -----------------------------------------------------------------

    def _from_start(self, indices: Array, size: int) -> Array:
        # Looking costs a tenth of the copy, and there are hardly ever negative ones.
        if indices.size and indices.min() >= 0:
            return indices
        return super()._from_start(indices, size)

    def repeat(
        self,
        x: Array,
        repeats: Any,
        axis: int | None = None,
        *,
        total_repeat_length: int | None = None,
    ) -> Array:
        repeated = np.repeat(self.asarray(x), repeats, axis)
        if total_repeat_length is None:
            return repeated
        last = np.maximum(repeated.shape[axis or 0] - 1, 0)
        order = np.minimum(np.arange(total_repeat_length), last)
        return np.take(repeated, order, axis or 0)

    def set_at(self, x: Array, index: Any, values: Any) -> Array:
        result = np.array(x)
        result[index] = np.asarray(values).astype(result.dtype)
        return result

    def add_at(self, x: Array, index: Any, values: Any) -> Array:
        result = np.array(x)
        np.add.at(result, index, np.asarray(values).astype(result.dtype))
        return result

    # --- linear algebra ---------------------------------------------------------------

    @silent
    def solve(self, a: Array, b: Array) -> Array:
        a, b = self._promote_inexact(a, b)
        if b.ndim == 1:
            return self.solve(a, b[:, None])[..., 0]
        try:
            x = np.linalg.solve(a, b)
        except np.linalg.LinAlgError:
            stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
            if not stack:
                return np.full_like(b, np.nan)
            x = np.stack(
                [
                    self.solve(*pair)
                    for pair in zip(
                        np.broadcast_to(a, (*stack, *a.shape[-2:])),
                        np.broadcast_to(b, (*stack, *b.shape[-2:])),
                        strict=True,
                    )
                ]
            )
        return np.where(np.isfinite(x).all(axis=-2, keepdims=True), x, np.nan)

    def inv(self, x: Array) -> Array:
        x = self._inexact(x)
        return self.solve(x, np.broadcast_to(np.eye(x.shape[-1], dtype=x.dtype), x.shape))

    def eigh(self, x: Array) -> tuple[Array, Array]:
        values, vectors = np.linalg.eigh(self._inexact(x))
        return values, vectors

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

    def while_loop(
        self, cond_fun: Callable[[Tree], Any], body_fun: Callable[[Tree], Tree], init_val: Tree
    ) -> Tree:
        state = init_val
        while cond_fun(state):
            state = body_fun(state)
        return state

    def cond(
        self,
        pred: Any,
        true_fun: Callable[..., Tree],
        false_fun: Callable[..., Tree],
        *operands: Tree,
    ) -> Tree:
        return true_fun(*operands) if pred else false_fun(*operands)

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
