"""The backend that compiles, differentiates and runs on GPUs; the only importer of JAX here."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from napari_xpcs._typing import Array
from napari_xpcs.backends._base import Tree
from napari_xpcs.backends._conversions import ensure_numpy, host_array
from napari_xpcs.backends._device import DeviceManager
from napari_xpcs.backends._members import SharedMembers


@lru_cache(maxsize=512)
def _compiled(fun: Callable[..., Any], static_argnames: tuple[str, ...]) -> Callable[..., Any]:
    return jax.jit(fun, static_argnames=static_argnames)


@dataclass(frozen=True)
class JAXBackend(SharedMembers):
    """JAX under :class:`~napari_xpcs.backends.BackendProtocol`; all instances are equal.

    The first instance switches JAX to float64 and to the chosen device, for the whole
    process.
    """

    _np: ClassVar[Any] = jnp

    name: ClassVar[str] = "jax"
    supports_gpu: ClassVar[bool] = True
    supports_jit: ClassVar[bool] = True
    supports_grad: ClassVar[bool] = True

    def __post_init__(self) -> None:
        DeviceManager.instance().connect()

    def _promote(self, *xs: Any) -> list[Array]:
        # JAX alone would make float32 of int32 and float32, where NumPy makes float64.
        kinds = []
        for x in xs:
            if type(x) in (bool, int, float, complex):
                kinds.append(x)
            elif getattr(x, "weak_type", False):
                kinds.append(x.dtype.type(0).item())
            else:
                kinds.append(self.asarray(x).dtype)
        dtype = np.result_type(*kinds)
        return [self.asarray(x, dtype) for x in xs]

    # --- creation ---------------------------------------------------------------------

    def array(self, values: Any, dtype: Any = None) -> Array:
        return jnp.array(self.asarray(values), dtype, copy=True)

    def asarray(self, values: Any, dtype: Any = None) -> Array:
        if isinstance(values, jax.Array):
            # A dtype makes the type of a value that came from a Python number binding.
            return jnp.asarray(values, dtype or (values.dtype if values.weak_type else None))
        if isinstance(values, list | tuple) and any(
            isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(values)
        ):
            return jnp.asarray(values, dtype)
        host = host_array(values)
        if not host.dtype.isnative:
            host = host.astype(host.dtype.newbyteorder("="))
        return jnp.asarray(host, dtype)

    def linspace(
        self, start: Any, stop: Any, num: int = 50, *, endpoint: bool = True, dtype: Any = None
    ) -> Array:
        if not (isinstance(start, jax.Array) or isinstance(stop, jax.Array)):
            return self.asarray(np.linspace(start, stop, num, endpoint=endpoint, dtype=dtype))
        # jnp.linspace weighs the two ends and differs from NumPy's in the last digit.
        start, stop = self._promote_inexact(start, stop)
        steps = num - 1 if endpoint else num
        ramp = jnp.arange(num, dtype=start.dtype).reshape(num, *(1,) * max(start.ndim, stop.ndim))
        values = start + ramp * ((stop - start) / max(steps, 1))
        if endpoint and num > 1:
            values = values.at[-1].set(stop)
        return values if dtype is None else self.astype(values, dtype)

    # --- maths ------------------------------------------------------------------------

    def sinc(self, x: Array) -> Array:
        x = self._inexact(x)
        # Compiled by JAX 0.12 it is 0 at infinity, where NumPy has no value.
        return jnp.where(jnp.isinf(x), jnp.nan, jnp.sinc(x))

    def matmul(self, x: Array, y: Array) -> Array:
        return jnp.matmul(*self._promote(x, y), precision="highest")

    def einsum(self, subscripts: str, *operands: Array) -> Array:
        return jnp.einsum(subscripts, *self._promote(*operands), precision="highest")

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
            if x.size and x.min() < 0:
                message = "'x' must not have negative values without 'length'."
                raise ValueError(message)
            length = max(minlength, int(x.max()) + 1 if x.size else 0)
        if weights is None:
            return self.segment_sum(jnp.ones(x.shape, np.int64), x, length)
        return self.segment_sum(self.asarray(weights).astype(np.float64), x, length)

    def nonzero(
        self, x: Array, *, size: int | None = None, fill_value: int = 0
    ) -> tuple[Array, ...]:
        found = jnp.nonzero(self.asarray(x), size=size, fill_value=fill_value)
        return tuple(self._index(i) for i in found)

    def unique(
        self,
        x: Array,
        *,
        return_inverse: bool = False,
        return_counts: bool = False,
        size: int | None = None,
        fill_value: Any = None,
    ) -> Any:
        x = self.asarray(x)
        found = jnp.unique(
            x,
            return_inverse=return_inverse,
            return_counts=return_counts,
            size=size,
            fill_value=0 if fill_value is None and x.size == 0 else fill_value,
        )
        if not (return_inverse or return_counts):
            return found
        return (found[0], *(self._index(extra) for extra in found[1:]))

    def segment_sum(self, values: Array, segment_ids: Array, num_segments: int) -> Array:
        values, ids = self.asarray(values), self.asarray(segment_ids)
        # JAX drops what lies beyond the end, but counts negative ids from the end.
        ids = jnp.where(ids < 0, num_segments, ids)
        if values.dtype == np.float32:
            return self.segment_sum(values.astype(np.float64), ids, num_segments).astype(np.float32)
        values = values.astype(jnp.sum(values[:0]).dtype)
        sums = jnp.zeros((num_segments, *values.shape[1:]), values.dtype)
        return sums.at[ids].add(values, mode="drop")

    # --- conversion -------------------------------------------------------------------

    def to_numpy(self, x: Array) -> Any:
        return ensure_numpy(x)

    def from_numpy(self, x: Any) -> Array:
        return self.asarray(x)

    # --- compilation, derivatives, loops ----------------------------------------------

    def jit(
        self, fun: Callable[..., Any], *, static_argnames: Sequence[str] = ()
    ) -> Callable[..., Any]:
        return _compiled(fun, tuple(static_argnames))

    def grad(
        self, fun: Callable[..., Any], argnums: int | tuple[int, ...] = 0, *, has_aux: bool = False
    ) -> Callable[..., Any]:
        return jax.grad(fun, argnums, has_aux=has_aux)

    def value_and_grad(
        self, fun: Callable[..., Any], argnums: int | tuple[int, ...] = 0, *, has_aux: bool = False
    ) -> Callable[..., Any]:
        return jax.value_and_grad(fun, argnums, has_aux=has_aux)

    def vmap(
        self, fun: Callable[..., Any], in_axes: Any = 0, out_axes: int = 0
    ) -> Callable[..., Any]:
        return jax.vmap(fun, in_axes, out_axes)

    def scan(
        self,
        f: Callable[[Tree, Tree], tuple[Tree, Tree]],
        init: Tree,
        xs: Tree = None,
        length: int | None = None,
        *,
        reverse: bool = False,
    ) -> tuple[Tree, Tree]:
        state, outputs = jax.lax.scan(f, init, xs, length, reverse=reverse)
        return state, outputs

    def fori_loop(
        self, lower: Any, upper: Any, body_fun: Callable[[Any, Tree], Tree], init_val: Tree
    ) -> Tree:
        return jax.lax.fori_loop(lower, upper, body_fun, init_val)

    def optimization_barrier(self, x: Tree) -> Tree:
        return jax.lax.optimization_barrier(x)  # type: ignore[no-untyped-call]

    def block_until_ready(self, x: Tree) -> Tree:
        return jax.block_until_ready(x)  # type: ignore[no-untyped-call]
